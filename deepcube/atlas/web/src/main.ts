/** The atlas: puts the parts of the page together and keeps them in step with the state. */

import { ApiError, type Contents, type Layer, get, onSignedOut, signOut } from "./api";
import { Block, WHOLE } from "./block";
import { drawControls } from "./controls";
import { byId, h } from "./dom";
import { saveSeen } from "./exports";
import { legend } from "./legend";
import { AtlasMap } from "./map";
import { navigate } from "./navigation";
import { Questions } from "./questions";
import type { Scene } from "./scene";
import { Selection } from "./selection";
import { askForKey } from "./signin";
import { type Camera, type Shown, type State, nearest, parse, write } from "./state";
import { TimeBar } from "./timebar";

const ASK_AGAIN_MS = 1500;

/** The running page. */
class App implements Scene {
  contents: Contents = { collections: [], loading: false, links: {}, palettes: {}, explained: [], notes: [], semantics: null };
  state: State = parse(location.hash);
  map!: AtlasMap;
  other: AtlasMap | null = null;
  main: Layer | null = null;
  compared: Layer | null = null;
  private readonly layers = new Map<string, Promise<Layer>>();
  private readonly selection = new Selection(this);
  private readonly questions = new Questions(this);
  private block: Block | null = null;
  private waiting = false;
  private readonly time = new TimeBar((position, moving) => this.toStep(position, moving));
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");

  /** Whether a layer was drawn, and when; read by tests and benchmarks. */
  readonly measured: { ready: number | null; step: number | null } = { ready: null, step: null };

  async start(): Promise<void> {
    onSignedOut(() => askForKey(() => void this.begin()));
    this.theme();
    this.darkness.addEventListener("change", () => this.theme());
    byId("theme").addEventListener("click", () => {
      this.state.theme = this.dark ? "light" : "dark";
      this.theme();
      this.remember();
    });
    byId("sign-out").addEventListener("click", () => void signOut().then(() => askForKey(() => void this.begin())));
    this.map = new AtlasMap(byId("map"), this.dark, this.state.camera);
    this.map.onMoved(() => {
      this.state.camera = this.map.camera;
      this.remember();
    });
    this.map.onHover((text) => { byId("map").title = text; });
    this.map.onClick((longitude, latitude, said) => {
      if (said) this.questions.tell(said);
      else void this.selection.select(longitude, latitude);
    });
    byId("swipe").addEventListener("input", () => {
      this.state.swipe = Number(byId<HTMLInputElement>("swipe").value) / 1000;
      this.swipe();
      this.remember();
    });
    window.addEventListener("hashchange", () => {
      if (location.hash !== write(this.state)) void this.load(parse(location.hash));
    });
    await this.begin();
  }

  private async begin(): Promise<void> {
    // A link names its layer, which need not wait for the list of all.
    const { main, time } = this.state;
    if (main) {
      this.describe(main).then((layer) => this.map.prefetch(layer, main, layer.times ? nearest(layer.times, time) : 0)).catch(() => undefined);
    }
    try {
      this.contents = await get<Contents>("atlas");
    } catch (error) {
      this.tell(error);
      return;
    }
    this.navigate();
    // A link may lead to what the server is still reading.
    while (this.contents.loading && this.state.main && !this.known(this.state.main)) await this.again();
    await this.load(this.state);
    while (this.contents.loading) await this.again();
  }

  /** Ask once more what there is. */
  private async again(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    const before = JSON.stringify(this.contents);
    try { this.contents = await get<Contents>("atlas"); } catch { return; }
    if (JSON.stringify(this.contents) !== before && this.main) this.controls();
  }

  /** Show a state. */
  private async load(state: State): Promise<void> {
    this.state = state;
    const camera: Camera | null = state.camera;
    this.theme();
    if (!state.main || !this.known(state.main)) state.main = this.preferred();
    if (state.other && !this.known(state.other)) state.other = null;
    if (!state.main) {
      this.busy("There is no layer: open the atlas with a cube.");
      await this.map.ground();
      this.controls();
      return;
    }
    this.views();
    await this.showMain(camera === null);
    await this.showOther();
    if (state.query && this.contents.semantics && !this.questions.answered) await this.questions.ask(state.query, false);
    if (camera) this.map.camera = camera;
    if (state.place) await this.selection.select(...state.place);
  }

  known(shown: Shown): boolean {
    return this.contents.collections.some((collection) => collection.id === shown.collection &&
      collection.layers.some((layer) => layer.id === shown.layer));
  }

  private preferred(): Shown | null {
    const collection = this.contents.collections.find((each) => each.layers.length);
    if (!collection) return null;
    const quantities = collection.layers.filter((layer) => layer.kind !== "categorical");
    const layer = quantities.find((each) => each.timed) ?? quantities[0] ?? collection.layers[0]!;
    return { collection: collection.id, layer: layer.id };
  }

  private describe(shown: Shown): Promise<Layer> {
    const key = JSON.stringify([shown.collection, shown.layer]);
    let found = this.layers.get(key);
    if (!found) {
      found = get<Layer>("layer", { in: shown.collection, layer: shown.layer });
      found.catch(() => this.layers.delete(key));
      this.layers.set(key, found);
    }
    return found;
  }

  private async showMain(fit: boolean): Promise<void> {
    const shown = this.state.main!;
    this.busy("Loading");
    try {
      const layer = await this.describe(shown);
      if (this.state.main !== shown) return;
      this.main = layer;
      const position = layer.times ? nearest(layer.times, this.state.time) : 0;
      if (layer.times) this.state.time = layer.times[position] ?? null;
      this.time.set(layer.times, position);
      this.controls();
      this.legends();
      document.title = `${layer.title} · DeepCube`;
      this.views();
      if (this.state.view !== "block") {
        if (fit || !this.map.sees(layer)) this.map.fit(layer, this.measured.ready !== null);
        await this.map.show(layer, shown, position, this.state.opacity, this.contents.palettes);
      }
      this.measured.ready ??= performance.now();
      this.busy("");
      this.remember();
    } catch (error) {
      this.tell(error);
    }
  }

  private async showOther(): Promise<void> {
    const shown = this.state.other;
    const swiping = shown !== null && this.state.view !== "block";
    for (const id of ["map-other", "swipe", "swipe-line"]) byId(id).hidden = !swiping;
    if (!swiping) {
      this.compared = null;
      this.other?.remove();
      this.other = null;
      byId("map-other").replaceChildren();
      this.controls();
      this.legends();
      return;
    }
    try {
      const layer = await this.describe(shown);
      if (this.state.other !== shown) return;
      this.compared = layer;
      if (!this.other) {
        this.other = new AtlasMap(byId("map-other"), this.dark, null, this.map);
        this.other.onClick((longitude, latitude) => void this.selection.select(longitude, latitude));
      }
      this.swipe();
      this.controls();
      this.legends();
      await this.other.show(layer, shown, layer.times ? nearest(layer.times, this.state.time) : 0, this.state.opacity, this.contents.palettes);
      this.remember();
    } catch (error) {
      this.tell(error);
    }
  }

  private swipe(): void {
    const { swipe } = this.state, percent = `${(swipe * 100).toFixed(2)}%`;
    byId<HTMLInputElement>("swipe").value = String(Math.round(swipe * 1000));
    byId("map-other").style.clipPath = `inset(0 0 0 ${percent})`;
    byId("swipe-line").style.left = percent;
  }

  private async toStep(position: number, moving: boolean): Promise<void> {
    const layer = this.main, shown = this.state.main;
    if (!layer?.times || !shown) return;
    this.state.time = layer.times[position] ?? null;
    const began = performance.now();
    try {
      await this.draw(layer, shown, position);
      this.measured.step = performance.now() - began;
    } catch (error) {
      this.tell(error);
    }
    if (!moving) {
      this.selection.panel();
      this.remember();
      if (this.state.place) void this.selection.explain();
    }
  }

  go(time: string): void {
    if (!this.main?.times) return;
    const position = nearest(this.main.times, time);
    this.time.set(this.main.times, position);
    void this.toStep(position, true);
  }

  /** Draw a step on both maps. */
  private async draw(layer: Layer, shown: Shown, position: number): Promise<void> {
    const { opacity, time } = this.state, { other, compared } = this;
    await Promise.all([
      this.map.show(layer, shown, position, opacity, this.contents.palettes),
      other && compared && this.state.other
        ? other.show(compared, this.state.other, compared.times ? nearest(compared.times, time) : 0, opacity, this.contents.palettes) : null,
    ]);
  }

  controls(): void {
    if (this.state.view === "query") { this.questions.panel(); return; }
    drawControls(this.contents, this.state, this.main, {
      choose: (which, shown) => {
        const changed = this.state[which]?.collection !== shown?.collection || this.state[which]?.layer !== shown?.layer;
        if (which === "other") { this.state.other = shown; void this.showOther(); return; }
        if (!shown) return;
        this.state.main = shown;
        void this.showMain(false).then(() => (changed && this.state.place ? this.selection.select(...this.state.place) : undefined));
      },
      opacity: (value) => {
        this.state.opacity = value;
        const { main } = this;
        if (main) this.draw(main, this.state.main!, main.times ? nearest(main.times, this.state.time) : 0).catch((error) => this.tell(error));
        this.remember();
      },
      export: (form) => void saveSeen(this, form).catch((error) => this.tell(error)),
      fit: () => { if (this.main) this.map.fit(this.main); },
      centre: () => { void this.selection.select(...this.map.middle()); },
    });
  }

  legends(): void {
    const drawn: HTMLElement[] = [];
    if (this.main && this.state.main) drawn.push(legend(this.main, this.state.main, this.contents.palettes));
    if (this.compared && this.state.other) {
      drawn[0]?.prepend(h("div", { class: "side" }, "Left"));
      const second = legend(this.compared, this.state.other, this.contents.palettes);
      second.prepend(h("div", { class: "side" }, "Right"));
      drawn.push(second);
    }
    const answer = this.questions.legend();
    if (answer) drawn.push(answer);
    byId("legends").replaceChildren(...drawn);
  }

  private navigate(): void {
    navigate(this, (view) => {
      this.state.view = view;
      this.views();
      this.controls();
      if (view !== "block" && this.state.main) void this.showMain(false);
      void this.showOther();
      this.remember();
    });
  }

  /** Show what belongs to the view. */
  private views(): void {
    const block = this.state.view === "block";
    byId("map").hidden = block;
    byId("tools").hidden = block;
    byId("block").hidden = !block;
    byId("timebar").hidden = block || !this.main?.times || this.main.times.length < 2;
    if (block) byId("details").hidden = true;
    else if (this.selection.there) byId("details").hidden = false;
    this.navigate();
    if (block && this.main?.mode === "points") {
      this.tell(new Error("Points have no space-time block; choose a layer of cells."));
    } else if (block && this.main && this.state.main) {
      this.block ??= new Block((cut) => {
        this.state.cut = [cut.time, cut.latitude, cut.longitude, cut.turn, cut.tilt];
        this.remember();
      });
      const [time, latitude, longitude, turn, tilt] = this.state.cut ?? [WHOLE.time, WHOLE.latitude, WHOLE.longitude, WHOLE.turn, WHOLE.tilt];
      this.block.show(this.main, this.state.main, { time, latitude, longitude, turn, tilt });
    } else if (!block) {
      this.map.resize();
    }
  }

  private get dark(): boolean {
    return this.state.theme ? this.state.theme === "dark" : this.darkness.matches;
  }

  private theme(): void {
    if (this.state.theme) document.documentElement.dataset.theme = this.state.theme;
    else delete document.documentElement.dataset.theme;
    byId("theme").textContent = this.dark ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", this.dark ? "Use light colours" : "Use dark colours");
    this.map?.paint(this.dark);
    this.other?.paint(this.dark);
  }

  remember(): void {
    history.replaceState(null, "", write(this.state));
  }

  /** Open again what has been written again, once that is complete. */
  private async anew(): Promise<void> {
    if (this.waiting) return;
    this.waiting = true;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    this.waiting = false;
    this.layers.clear();
    for (const map of [this.map, this.other]) map?.forget();
    try { this.contents = await get<Contents>("atlas"); } catch (error) { this.tell(error); return; }
    await this.load(this.state);
  }

  busy(text: string): void {
    byId("state").textContent = text;
  }

  tell(error: unknown): void {
    if (error instanceof DOMException && error.name === "AbortError") return;
    this.busy("");
    if (error instanceof ApiError && error.status === 401) return;
    if (error instanceof ApiError && (error.status === 409 || error.status === 503)) void this.anew();
    const box = byId("problem");
    box.textContent = error instanceof Error ? error.message : String(error);
    box.hidden = false;
    setTimeout(() => { box.hidden = true; }, 8000);
  }
}

const app = new App();
(window as unknown as { atlas: App }).atlas = app;
void app.start();
