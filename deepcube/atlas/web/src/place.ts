/** The panel of a selected place: what is there now, and what it was like over time. */

import type { Collection, Layer, Series, SeriesAnswer } from "./api";
import { chart } from "./chart";
import { byId, h, quantity } from "./dom";
import { className } from "./legend";
import { instant, nearest } from "./state";

export interface PlaceView {
  answer: SeriesAnswer; collection: Collection; main: Layer; beside: string[]; time: string | null;
  change: (beside: string[]) => void; close: () => void; reason: HTMLElement | null;
}

/** Write a place in degrees. */
export function degrees(longitude: number, latitude: number): string {
  const one = (value: number, positive: string, negative: string): string =>
    `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, "N", "S")}, ${one(longitude, "E", "W")}`;
}

/** Return the value of a series at a time: that of the nearest step, if it is no further than a step away. */
export function valueAt(series: Series, time: string | null): number | null {
  if (!series.times) return series.values[0] ?? null;
  const position = nearest(series.times, time);
  const apart = time === null ? 0 : Math.abs(instant(series.times[position]!) - instant(time));
  const step = series.times.length > 1 ? (instant(series.times[series.times.length - 1]!) - instant(series.times[0]!)) / (series.times.length - 1) : Infinity;
  return apart > step ? null : (series.values[position] ?? null);
}

/** Show the panel. */
export function showPlace(view: PlaceView): void {
  const panel = byId("details");
  const { answer, collection, main } = view;
  const titles = new Map(collection.layers.map((layer) => [layer.id, layer.title]));
  const parts: HTMLElement[] = [
    h("div", { class: "head" },
      h("h2", {}, degrees(answer.longitude, answer.latitude)),
      h("button", { type: "button", class: "plain", "aria-label": "Close", click: view.close }, "✕")),
  ];
  if (collection.simulated) parts.push(h("div", { class: "simulated" }, "Simulated data"));
  if (answer.beyond.includes(main.id)) parts.push(h("p", { class: "hint" }, "The layer does not reach this place."));
  for (const series of answer.series) {
    const title = titles.get(series.id) ?? series.id;
    const latest = main.mode === "points" && series.times && view.time // the newest until the time shown, with its own time
      ? series.times.filter((each) => instant(each) <= instant(view.time!)).pop() ?? null : view.time;
    const now = valueAt(series, latest);
    const category = series.kind === "categorical" && series.id === main.id
      ? className(main, now) : undefined;
    const written = now === null ? "no value" : category ?? quantity(now, series.units);
    parts.push(h("h3", {}, title));
    parts.push(h("p", { class: "hint", "data-value": series.id }, series.times && latest ? `${latest.replace("T", " ")}: ${written}` : written));
    if (series.times && series.times.length > 1) {
      const truth = series.id === main.id ? answer.series.find((each) => each.id === main.truth && each.times) : undefined;
      const lines = truth ? [{ label: "truth", times: truth.times!, values: truth.values, kind: "truth" }] : [];
      parts.push(chart(series, title, view.time, lines) as unknown as HTMLElement);
      if (truth) parts.push(h("ul", { class: "keys" }, h("li", {}, "black: prediction"), h("li", { class: "truth" }, "blue: what came true")));
    }
    if (series.id === main.id && view.reason) parts.push(view.reason);
  }
  if (answer.series.some((series) => series.normal)) {
    parts.push(h("p", { class: "hint" }, "Band: mean and standard deviation of the season over all years shown. Breaks in a line are gaps."));
  }
  const others = collection.layers.filter((layer) => layer.id !== main.id);
  if (others.length) {
    const chosen = new Set(view.beside);
    const list = h("div", {});
    for (const layer of others.slice(0, 60)) {
      const box = h("input", { type: "checkbox", change: () => {
        if (box.checked) chosen.add(layer.id); else chosen.delete(layer.id);
        view.change([...chosen].slice(0, 11));
      } });
      box.checked = chosen.has(layer.id);
      list.append(h("label", { class: "check" }, box, layer.title));
    }
    const more = h("details", {}, h("summary", {}, "Show other variables"), list);
    more.open = panel.querySelector("details")?.open ?? false;
    parts.push(more);
  }
  panel.replaceChildren(...parts);
  panel.hidden = false;
}
