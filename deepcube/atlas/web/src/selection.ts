/** The selected place: its series, and why its prediction is what it is. */

import { type SeriesAnswer, address, get } from "./api";
import { byId, h } from "./dom";
import { showPlace } from "./place";
import { type Reason, reasonPart } from "./reason";
import type { Scene } from "./scene";
import { nearest } from "./state";

/** Keeps the panel of the selected place. */
export class Selection {
  private answer: SeriesAnswer | null = null;
  private reason: HTMLElement | null = null;
  private asking: AbortController | null = null;
  private reasoning: AbortController | null = null;

  constructor(private readonly scene: Scene) {}

  /** Whether a place is selected and known. */
  get there(): boolean {
    return this.answer !== null && this.scene.state.place !== null;
  }

  /** Select a place. */
  async select(longitude: number, latitude: number): Promise<void> {
    const { scene } = this, { main, state } = scene;
    if (!main) return;
    state.place = [longitude, latitude];
    scene.remember();
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    scene.busy("Reading");
    try {
      const has = (layer: string): boolean => scene.known({ collection: main.collection, layer });
      const beside = main.truth && has(main.truth) ? [main.truth] : [];
      const layer = [main.id, ...beside, ...state.beside.filter((name) => name !== main.id && has(name))];
      const answer = await get<SeriesAnswer>("series", { in: main.collection, lon: longitude, lat: latitude, layer }, asking.signal);
      if (asking !== this.asking) return;
      this.answer = answer;
      byId("controls").classList.remove("opened"); // on a phone it would cover what was asked for
      scene.busy("");
      this.panel();
      void this.explain();
      const own = answer.series.find((series) => series.id === main.id), ring = own?.outline ?? null;
      const point: [number, number] | null = own && main.mode === "points" ? [own.longitude, own.latitude] : null;
      scene.map.outline(ring, point);
      scene.other?.outline(ring, point);
    } catch (error) {
      if (asking === this.asking) scene.tell(error);
    }
  }

  /** Ask why the prediction of the selected place is what it is. */
  async explain(): Promise<void> {
    const { main, state: { place, time }, contents } = this.scene;
    this.reasoning?.abort();
    if (!main?.times || !place || !contents.explained.includes(main.collection)) { this.reason = null; return; }
    const asking = this.reasoning = new AbortController();
    this.reason = h("p", { class: "hint", role: "status" }, "Asking why");
    this.panel();
    try {
      const query = { in: main.collection, layer: main.id, lon: place[0], lat: place[1], t: nearest(main.times, time) };
      const reason = await get<Reason>("reason", query, asking.signal);
      if (asking !== this.reasoning) return;
      const picture = reason.picture ? address("picture", query) : null;
      this.reason = reasonPart(reason, main, picture, (time, longitude, latitude) => {
        this.scene.go(time);
        void this.select(longitude, latitude);
      });
    } catch (error) {
      if (asking !== this.reasoning) return;
      this.reason = h("p", { class: "hint" }, error instanceof Error ? error.message : String(error));
    }
    this.panel();
  }

  /** Draw the panel, if a place is selected. */
  panel(): void {
    const { scene } = this, { main, state } = scene;
    const collection = scene.contents.collections.find((each) => each.id === main?.collection);
    if (!this.answer || !main || !collection || !state.place) return;
    showPlace({
      reason: this.reason, answer: this.answer, collection, main, beside: state.beside, time: state.time,
      change: (beside) => { state.beside = beside; void this.select(...state.place!); },
      close: () => this.close(),
    });
  }

  private close(): void {
    const { scene } = this;
    this.asking?.abort();
    this.reasoning?.abort();
    scene.state.place = null;
    this.answer = null;
    byId("details").hidden = true;
    scene.map.outline(null);
    scene.other?.outline(null);
    scene.remember();
  }
}
