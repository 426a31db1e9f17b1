/** The panel of questions, and the places of an answer on the map. */

import { byId, digits, h, s } from "./dom";
import { type Answer, ask, features, numeric, shortened, table } from "./query";
import type { Scene } from "./scene";

const ONE_COLOUR = "#c2410c";

/** Keeps the question, its answer and the colours of the places. */
export class Questions {
  private found: Answer | null = null;
  private asking: AbortController | null = null;
  private key: { column: string; low: number; high: number; stops: string[] } | null = null;

  constructor(private readonly scene: Scene) {}

  /** Whether there is an answer. */
  get answered(): boolean {
    return this.found !== null;
  }

  /** Draw the panel. */
  panel(): void {
    const { scene } = this, { semantics } = scene.contents, panel = byId("controls");
    if (!semantics) { panel.replaceChildren(h("p", {}, "This atlas answers no questions.")); return; }
    const text = h("textarea", { rows: 12, spellcheck: "false", autocapitalize: "off", "aria-label": "Query in SPARQL" });
    text.value = scene.state.query ?? semantics.examples[0]?.[1] ?? "";
    const examples = h("select", {}, h("option", { value: "" }, "Choose one"), ...semantics.examples.map(([title], i) => h("option", { value: i }, title)));
    examples.addEventListener("change", () => { if (examples.value !== "") text.value = semantics.examples[Number(examples.value)]![1]; });
    const parts: HTMLElement[] = [
      h("label", {}, "Example", examples), h("label", {}, "Query in SPARQL", text),
      h("div", { class: "row" },
        h("button", { type: "button", class: "first", click: () => void this.ask(text.value, true) }, "Ask"),
        h("button", { type: "button", click: () => this.stop() }, "Stop"),
        h("button", { type: "button", click: () => this.clear() }, "Clear")),
    ];
    if (this.found) {
      const columns = numeric(this.found);
      if (columns.length) {
        const colour = h("select", {}, h("option", { value: "" }, "One colour"), ...columns.map((name) => h("option", { value: name }, name)));
        colour.value = scene.state.colour ?? "";
        colour.addEventListener("change", () => { scene.state.colour = colour.value || null; this.draw(false); scene.remember(); });
        parts.push(h("label", {}, "Colour by", colour));
      }
      parts.push(table(this.found, semantics.prefixes));
    }
    panel.classList.add("opened");
    panel.replaceChildren(...parts);
  }

  /** Ask a question and show its answer. */
  async ask(query: string, move: boolean): Promise<void> {
    const { scene } = this;
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    scene.busy("Asking");
    try {
      const answer = await ask(query, asking.signal);
      if (asking !== this.asking) return;
      this.found = answer;
      scene.state.query = query;
      const columns = numeric(answer);
      if (!scene.state.colour || !columns.includes(scene.state.colour)) scene.state.colour = columns[0] ?? null;
      this.draw(move);
      scene.remember();
      scene.busy("");
    } catch (error) {
      if (asking !== this.asking) return;
      scene.busy("");
      scene.tell(error);
    }
  }

  private stop(): void {
    this.asking?.abort();
    this.scene.busy("");
  }

  private clear(): void {
    this.stop();
    this.found = null;
    this.scene.state.query = null;
    this.draw(false);
    this.scene.remember();
  }

  /** Draw the places of the answer in the colours of a column. */
  private draw(move: boolean): void {
    const { scene } = this;
    const data = this.found ? features(this.found) : { type: "FeatureCollection" as const, features: [] };
    const column = scene.state.colour, stops = scene.contents.palettes["viridis"] ?? ["#440154"];
    const known = data.features.map((each) => (column ? each.properties?.[column] : undefined)).filter((value): value is number => typeof value === "number");
    const low = known.reduce((least, value) => Math.min(least, value), Infinity), high = known.reduce((most, value) => Math.max(most, value), -Infinity);
    for (const each of data.features) {
      const value = column ? each.properties![column] : undefined;
      const share = typeof value === "number" && high > low ? (value - low) / (high - low) : 0.5;
      each.properties!["__colour"] = typeof value === "number" ? stops[Math.round(share * (stops.length - 1))]! : ONE_COLOUR;
    }
    this.key = column && known.length ? { column, low, high, stops } : null;
    scene.legends();
    if (scene.state.view === "query") scene.controls();
    scene.map.places(data, move);
  }

  /** Make the legend of the answer; null where it has no colours to tell of. */
  legend(): HTMLElement | null {
    if (!this.key || !this.found) return null;
    const { column, low, high, stops } = this.key;
    const bar = s("svg", {
      class: "ramp", viewBox: `0 0 ${stops.length} 1`, preserveAspectRatio: "none", role: "img",
      "aria-label": `Colours of ${column} from ${digits(low)} to ${digits(high)}`,
    });
    stops.forEach((colour, i) => bar.append(s("rect", { x: i, width: 1.02, height: 1, fill: colour })));
    return h("div", { class: "legend" }, h("div", { class: "legend-title" }, `Answer: ${column}`), bar as unknown as HTMLElement,
      h("div", { class: "scale" }, h("span", {}, digits(low, 3)), h("span", {}, digits(high, 3))));
  }

  /** Tell of a place of the answer. */
  tell(place: Record<string, unknown>): void {
    const panel = byId("details"), prefixes = this.scene.contents.semantics?.prefixes ?? {};
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
}
