/** The atlas: puts the parts of the page together and keeps them in step with the state. */

import { ApiError, type Contents, type Layer, type SeriesAnswer, get, onSignedOut, post, signOut } from "./api";
import { Block, WHOLE } from "./block";
import { drawControls } from "./controls";
import { byId, digits, h, s } from "./dom";
import { compose, page, save, values } from "./exports";
import { legend } from "./legend";
import { AtlasMap, picture } from "./map";
import { showPlace } from "./place";
import { type Answer, ask, features, numeric, shortened, table } from "./query";
import { type Reason, reasonPart } from "./reason";
import { type Shown, type State, nearest, parse, write } from "./state";
import { TimeBar } from "./timebar";

/** The running page. */
class App {
  private contents: Contents = { collections: [], loading: false, links: {}, palettes: {}, explained: [], semantics: null };
  private state: State = parse(location.hash);
  private readonly layers = new Map<string, Promise<Layer>>();
  private map!: AtlasMap;
  private other: AtlasMap | null = null;
  private main: Layer | null = null;
  private compared: Layer | null = null;
  private answer: SeriesAnswer | null = null;
  private asking: AbortController | null = null;
  private block: Block | null = null;
  private found: Answer | null = null;
  private questioning: AbortController | null = null;
  private reasoning: AbortController | null = null;
  private readonly time = new TimeBar((position, moving) => this.toStep(position, moving));
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");

  /** Whether a layer was drawn, and when; read by tests and benchmarks. */
  readonly measured: { ready: number | null; step: number | null } = { ready: null, step: null };

  async start(): Promise<void> {
    onSignedOut(() => this.askForKey());
    this.theme();
    this.darkness.addEventListener("change", () => this.theme());
    byId("theme").addEventListener("click", () => {
      this.state.theme = this.dark ? "light" : "dark";
      this.theme();
      this.remember();
    });
    byId("sign-out").addEventListener("click", () => void signOut().then(() => this.askForKey()));
    const { camera } = this.state;
    this.map = new AtlasMap(byId("map"), this.dark, camera
      ? { center: [camera.longitude, camera.latitude], zoom: camera.zoom } : {});
    this.map.map.on("moveend", () => {
      const centre = this.map.map.getCenter();
      this.state.camera = { longitude: centre.lng, latitude: centre.lat, zoom: this.map.map.getZoom() };
      this.remember();
    });
    this.map.map.on("click", (event) => {
      const place = this.found ? this.map.placeAt(event.point) : null;
      if (place) this.tellPlace(place);
      else void this.select(event.lngLat.wrap().lng, event.lngLat.lat);
    });
    this.map.map.on("move", () => this.follow(this.map, this.other));
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
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const before = JSON.stringify(this.contents);
    try { this.contents = await get<Contents>("atlas"); } catch { return; }
    if (JSON.stringify(this.contents) !== before && this.main) this.controls();
  }

  /** Show a state. */
  private async load(state: State): Promise<void> {
    this.state = state;
    this.theme();
    if (!state.main || !this.known(state.main)) state.main = this.preferred();
    if (state.other && !this.known(state.other)) state.other = null;
    if (!state.main) {
      byId("state").textContent = "There is no layer: open the atlas with a cube.";
      this.controls();
      return;
    }
    const fit = state.camera === null;
    this.views();
    await this.showMain(fit);
    await this.showOther();
    if (state.query && this.contents.semantics && !this.found) await this.question(state.query, false);
    if (state.camera && this.map.map.getCenter().distanceTo(
      new (Object.getPrototypeOf(this.map.map.getCenter()).constructor)(state.camera.longitude, state.camera.latitude)) > 50_000) {
      this.map.map.jumpTo({ center: [state.camera.longitude, state.camera.latitude], zoom: state.camera.zoom });
    }
    if (state.place) await this.select(...state.place);
  }

  private known(shown: Shown): boolean {
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
    byId("state").textContent = "Loading";
    try {
      const layer = await this.describe(shown);
      if (this.state.main !== shown) return;
      this.main = layer;
      const position = layer.times ? nearest(layer.times, this.state.time) : 0;
      if (layer.times) this.state.time = layer.times[position] ?? null;
      this.time.set(layer.times, position);
      this.controls();
      this.legends();
      this.title();
      this.views();
      if (this.state.view === "block") { this.measured.ready ??= performance.now(); byId("state").textContent = ""; this.remember(); return; }
      if (fit || !this.map.sees(layer)) this.map.fit(layer, this.measured.ready !== null);
      await this.map.show(layer, shown, position, this.state.opacity);
      this.measured.ready ??= performance.now();
      byId("state").textContent = "";
      this.remember();
      this.prefetch(position);
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
      this.other?.map.remove();
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
      const centre = this.map.map.getCenter();
      if (!this.other) {
        this.other = new AtlasMap(byId("map-other"), this.dark, { center: centre, zoom: this.map.map.getZoom() }, false);
        this.other.map.on("click", (event) => void this.select(event.lngLat.wrap().lng, event.lngLat.lat));
        this.other.map.on("move", () => this.follow(this.other, this.map));
      }
      this.swipe();
      this.controls();
      this.legends();
      await this.other.show(layer, shown, layer.times ? nearest(layer.times, this.state.time) : 0, this.state.opacity);
      this.remember();
    } catch (error) {
      this.tell(error);
    }
  }

  private following = false;
  private follow(from: AtlasMap | null, to: AtlasMap | null): void {
    if (!from || !to || this.following) return;
    this.following = true;
    to.map.jumpTo({ center: from.map.getCenter(), zoom: from.map.getZoom() });
    this.following = false;
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
      const others = this.other && this.compared && this.state.other
        ? this.other.show(this.compared, this.state.other, this.compared.times ? nearest(this.compared.times, this.state.time) : 0, this.state.opacity)
        : Promise.resolve();
      await Promise.all([this.map.show(layer, shown, position, this.state.opacity), others]);
      this.measured.step = performance.now() - began;
    } catch (error) {
      this.tell(error);
    }
    this.prefetch(position);
    if (!moving) {
      this.panel();
      this.remember();
      if (this.state.place) void this.explain();
    }
  }

  private prefetch(position: number): void {
    const layer = this.main, shown = this.state.main;
    if (!layer?.times || !shown) return;
    const next = [position + 1, position + 2].filter((step) => step < layer.times!.length);
    this.map.prefetch(layer, shown, next);
  }

  /** Select a place. */
  private async select(longitude: number, latitude: number): Promise<void> {
    const main = this.main;
    if (!main) return;
    this.state.place = [longitude, latitude];
    this.remember();
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    byId("state").textContent = "Reading";
    try {
      const truth = main.id.replace(/^predicted_/, "");
      const beside = truth !== main.id && this.known({ collection: main.collection, layer: truth }) ? [truth] : [];
      const names = [main.id, ...beside, ...this.state.beside.filter((name) => name !== main.id && this.known({ collection: main.collection, layer: name }))];
      const answer = await get<SeriesAnswer>("series", { in: main.collection, lon: longitude, lat: latitude, layer: names }, asking.signal);
      if (asking !== this.asking) return;
      this.answer = answer;
      byId("state").textContent = "";
      this.panel();
      void this.explain();
      const ring = answer.series.find((series) => series.id === main.id)?.outline ?? null;
      await this.map.outline(ring);
      await this.other?.outline(ring);
    } catch (error) {
      if (asking === this.asking) this.tell(error);
    }
  }

  /** Ask why the prediction of the selected place is what it is. */
  private async explain(): Promise<void> {
    const main = this.main, place = this.state.place;
    this.reasoning?.abort();
    if (!main?.times || !place || !this.contents.explained.includes(main.collection)) { this.reason = null; return; }
    const asking = this.reasoning = new AbortController();
    this.reason = h("p", { class: "hint" }, "Asking why");
    this.panel();
    try {
      const t = nearest(main.times, this.state.time);
      const reason = await get<Reason>("reason", { in: main.collection, layer: main.id, lon: place[0], lat: place[1], t }, asking.signal);
      if (asking !== this.reasoning) return;
      this.reason = reasonPart(reason);
    } catch (error) {
      if (asking !== this.reasoning) return;
      this.reason = h("p", { class: "hint" }, error instanceof Error ? error.message : String(error));
    }
    this.panel();
  }
  private reason: HTMLElement | null = null;

  private panel(): void {
    const collection = this.contents.collections.find((each) => each.id === this.main?.collection);
    if (!this.answer || !this.main || !collection || !this.state.place) return;
    showPlace({
      reason: this.reason, answer: this.answer, collection, main: this.main, beside: this.state.beside, time: this.state.time,
      change: (beside) => { this.state.beside = beside; void this.select(...this.state.place!); },
      close: () => {
        this.state.place = null;
        this.answer = null;
        byId("details").hidden = true;
        void this.map.outline(null);
        void this.other?.outline(null);
        this.remember();
      },
    });
  }

  private controls(): void {
    if (this.state.view === "query") { this.questions(); return; }
    drawControls(this.contents, this.state, this.main, {
      choose: (which, shown) => {
        const changed = this.state[which]?.collection !== shown?.collection || this.state[which]?.layer !== shown?.layer;
        if (which === "other") { this.state.other = shown; void this.showOther(); return; }
        if (!shown) return;
        this.state.main = shown;
        void this.showMain(false).then(() => (changed && this.state.place ? this.select(...this.state.place) : undefined));
      },
      opacity: (value) => {
        this.state.opacity = value;
        void this.toStep(this.main?.times ? nearest(this.main.times, this.state.time) : 0, true);
        if (this.main && !this.main.times) void this.map.show(this.main, this.state.main!, 0, value);
        this.remember();
      },
      export: (form) => void this.export(form),
      fit: () => { if (this.main) this.map.fit(this.main); },
      centre: () => { const centre = this.map.map.getCenter(); void this.select(centre.lng, centre.lat); },
    });
  }

  private legends(): void {
    const drawn: HTMLElement[] = [];
    if (this.main && this.state.main) drawn.push(legend(this.main, this.state.main, this.contents.palettes));
    if (this.compared && this.state.other) {
      drawn[0]?.prepend(h("div", { class: "side" }, "Left"));
      const second = legend(this.compared, this.state.other, this.contents.palettes);
      second.prepend(h("div", { class: "side" }, "Right"));
      drawn.push(second);
    }
    if (this.key && this.found) {
      const { column, low, high, stops } = this.key;
      const bar = s("svg", { class: "ramp", viewBox: `0 0 ${stops.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `Colours of ${column} from ${digits(low)} to ${digits(high)}` });
      stops.forEach((colour, i) => bar.append(s("rect", { x: i, width: 1.02, height: 1, fill: colour })));
      drawn.push(h("div", { class: "legend" }, h("div", { class: "legend-title" }, `Answer: ${column}`), bar as unknown as HTMLElement,
        h("div", { class: "scale" }, h("span", {}, digits(low, 3)), h("span", {}, digits(high, 3)))));
    }
    byId("legends").replaceChildren(...drawn);
  }

  private navigate(): void {
    const views: [State["view"], string][] = [["map", "Map"], ["block", "Space-time block"]];
    if (this.contents.semantics) views.push(["query", "Query"]);
    const items = views.map(([view, title]) => {
      const go = (event: Event): void => {
        event.preventDefault();
        this.state.view = view;
        this.views();
        this.controls();
        void this.showOther();
        this.remember();
      };
      return h("li", {}, h("a", {
        href: write({ ...this.state, view }), "aria-current": this.state.view === view ? "page" : null, click: go,
      }, title));
    });
    for (const [title, url] of Object.entries(this.contents.links)) items.push(h("li", {}, h("a", { href: url }, title)));
    byId("navigation").replaceChildren(h("ul", {}, ...items));
  }

  /** Show what belongs to the view. */
  private views(): void {
    const block = this.state.view === "block";
    byId("map").hidden = block;
    byId("block").hidden = !block;
    byId("timebar").hidden = block || !this.main?.times || this.main.times.length < 2;
    if (block) byId("details").hidden = true;
    else if (this.answer && this.state.place) byId("details").hidden = false;
    this.navigate();
    if (block && this.main && this.state.main) {
      this.block ??= new Block((cut) => {
        this.state.cut = [cut.time, cut.latitude, cut.longitude, cut.turn, cut.tilt];
        this.remember();
      });
      const [time, latitude, longitude, turn, tilt] = this.state.cut ?? [WHOLE.time, WHOLE.latitude, WHOLE.longitude, WHOLE.turn, WHOLE.tilt];
      this.block.show(this.main, this.state.main, { time, latitude, longitude, turn, tilt });
    } else if (!block) {
      this.map.map.resize();
    }
  }

  private async export(form: "png" | "csv" | "geojson" | "html"): Promise<void> {
    const layer = this.main, shown = this.state.main;
    if (!layer || !shown) return;
    const position = layer.times ? nearest(layer.times, this.state.time) : 0;
    const name = `${layer.name}${this.state.time ? `-${this.state.time}` : ""}`.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 80);
    try {
      if (form === "csv" || form === "geojson") {
        const response = await fetch(values(layer, position, form, this.map));
        if (!response.ok) throw new Error((await response.json()).error);
        save(await response.blob(), `${name}.${form}`);
        return;
      }
      const canvas = compose(this.map, this.other, this.state.swipe, layer, shown, this.state.time, this.contents.palettes);
      if (form === "png") { canvas.toBlob((blob) => { if (blob) save(blob, `${name}.png`); }); return; }
      const around = layer.times && layer.mode === "frame"
        ? layer.times.map((time, step) => ({ time, step })).slice(Math.max(0, position - 5), position + 6) : [];
      const collection = this.contents.collections.find((each) => each.id === layer.collection);
      const facts = { "what": layer.title, "units": layer.units || "1", "from": collection?.title ?? layer.collection, ...collection?.facts };
      const steps = around.map(({ time, step }) => ({ time, url: picture(layer, shown, step) }));
      save(new Blob([await page(canvas, layer, this.state.time, steps, facts)], { type: "text/html" }), `${name}.html`);
    } catch (error) {
      this.tell(error);
    }
  }

  /** Draw the panel of questions. */
  private questions(): void {
    const semantics = this.contents.semantics;
    const panel = byId("controls");
    if (!semantics) { panel.replaceChildren(h("p", {}, "This atlas answers no questions.")); return; }
    const text = h("textarea", { rows: 12, spellcheck: "false", autocapitalize: "off", "aria-label": "Query in SPARQL" });
    text.value = this.state.query ?? semantics.examples[0]?.[1] ?? "";
    const examples = h("select", {}, h("option", { value: "" }, "Choose one"), ...semantics.examples.map(([title], i) => h("option", { value: i }, title)));
    examples.addEventListener("change", () => { if (examples.value !== "") text.value = semantics.examples[Number(examples.value)]![1]; });
    const parts: HTMLElement[] = [
      h("label", {}, "Example", examples), h("label", {}, "Query in SPARQL", text),
      h("div", { class: "row" },
        h("button", { type: "button", class: "first", click: () => void this.question(text.value, true) }, "Ask"),
        h("button", { type: "button", click: () => this.questioning?.abort() }, "Stop"),
        h("button", { type: "button", click: () => { this.found = null; this.state.query = null; void this.drawAnswer(false); this.remember(); } }, "Clear")),
    ];
    if (this.found) {
      const columns = numeric(this.found);
      if (columns.length) {
        const colour = h("select", {}, h("option", { value: "" }, "One colour"), ...columns.map((name) => h("option", { value: name }, name)));
        colour.value = this.state.colour ?? "";
        colour.addEventListener("change", () => { this.state.colour = colour.value || null; void this.drawAnswer(false); this.remember(); });
        parts.push(h("label", {}, "Colour by", colour));
      }
      parts.push(table(this.found, semantics.prefixes));
    }
    panel.classList.add("opened");
    panel.replaceChildren(...parts);
  }

  /** Ask a question and show its answer. */
  private async question(query: string, move: boolean): Promise<void> {
    this.questioning?.abort();
    const asking = this.questioning = new AbortController();
    byId("state").textContent = "Asking";
    try {
      const answer = await ask(query, asking.signal);
      if (asking !== this.questioning) return;
      this.found = answer;
      this.state.query = query;
      const columns = numeric(answer);
      if (!this.state.colour || !columns.includes(this.state.colour)) this.state.colour = columns[0] ?? null;
      await this.drawAnswer(move);
      this.remember();
      byId("state").textContent = "";
    } catch (error) {
      byId("state").textContent = "";
      this.tell(error);
    }
  }

  /** Draw the places of the answer in the colours of a column. */
  private async drawAnswer(move: boolean): Promise<void> {
    const data = this.found ? features(this.found) : { type: "FeatureCollection" as const, features: [] };
    const column = this.state.colour, stops = this.contents.palettes["viridis"] ?? ["#440154"];
    const known = data.features.map((each) => (column ? each.properties?.[column] : undefined)).filter((value): value is number => typeof value === "number");
    const [low, high] = [Math.min(...known), Math.max(...known)];
    for (const each of data.features) {
      const value = column ? each.properties![column] : undefined;
      const share = typeof value === "number" && high > low ? (value - low) / (high - low) : 0.5;
      each.properties!["__colour"] = typeof value === "number" ? stops[Math.round(share * (stops.length - 1))]! : "#c2410c";
    }
    this.key = column && known.length ? { column, low, high, stops } : null;
    this.legends();
    if (this.state.view === "query") this.controls();
    await this.map.places(data, move);
  }
  private key: { column: string; low: number; high: number; stops: string[] } | null = null;

  private tellPlace(place: Record<string, unknown>): void {
    const panel = byId("details"), prefixes = this.contents.semantics?.prefixes ?? {};
    const rows = Object.entries(place).filter(([name]) => name !== "__colour").flatMap(([name, value]) => [
      h("dt", {}, name),
      h("dd", {}, typeof value === "number" ? digits(value) : shortened({ type: /^https?:|^urn:/.test(String(value)) ? "uri" : "literal", value: String(value) }, prefixes)),
    ]);
    panel.replaceChildren(
      h("div", { class: "head" }, h("h2", {}, "Place of the answer"),
        h("button", { type: "button", class: "plain", "aria-label": "Close", click: () => { panel.hidden = true; } }, "✕")),
      h("dl", { class: "facts" }, ...rows));
    panel.hidden = false;
  }

  private title(): void {
    document.title = `${this.main?.title ?? "Atlas"} · DeepCube`;
  }

  private get dark(): boolean {
    return this.state.theme ? this.state.theme === "dark" : this.darkness.matches;
  }

  private theme(): void {
    if (this.state.theme) document.documentElement.dataset.theme = this.state.theme;
    else delete document.documentElement.dataset.theme;
    byId("theme").textContent = this.dark ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", this.dark ? "Use light colours" : "Use dark colours");
    if (this.map) void this.map.paint(this.dark);
    void this.other?.paint(this.dark);
  }

  private remember(): void {
    history.replaceState(null, "", write(this.state));
  }

  private tell(error: unknown): void {
    if (error instanceof DOMException && error.name === "AbortError") return;
    byId("state").textContent = "";
    if (error instanceof ApiError && error.status === 401) return;
    const box = byId("problem");
    box.textContent = error instanceof Error ? error.message : String(error);
    box.hidden = false;
    setTimeout(() => { box.hidden = true; }, 8000);
  }

  private askForKey(): void {
    const dialog = byId<HTMLDialogElement>("sign-in");
    if (dialog.open) return;
    const key = h("input", { type: "password", autocomplete: "current-password", required: true });
    const problem = h("p", { class: "hint", role: "alert" });
    const form = h("form", { method: "dialog" },
      h("h2", { id: "sign-in-title" }, "Sign in to the atlas"),
      h("p", { class: "hint" }, "`deepcube open` prints an address that signs you in, and says where the key is."),
      h("label", {}, "Key", key), problem, h("button", { class: "first" }, "Sign in"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      post("session", { key: key.value }).then(() => { dialog.close(); void this.begin(); }, (error: Error) => { problem.textContent = error.message; });
    });
    dialog.replaceChildren(form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  }
}

const app = new App();
(window as unknown as { atlas: App }).atlas = app;
void app.start();
