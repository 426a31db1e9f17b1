/** Why a prediction is what it is: the model, what it weighed, how good the explanation is, and where all came from. */

import type { Layer } from "./api";
import { digits, h, quantity, s } from "./dom";
import { degrees } from "./place";

interface Attribution { name: string; lag: number | null; value: number; input: number | null }
export interface Reason {
  layer: string; value: number; units: string; time: string; key: string;
  model: { name: string; version: number; description: string; metrics: Record<string, number>; url: string } | null;
  explanation: {
    output: string; method: string; baseline: string; units: string; baseValue: number | null;
    attributions: Attribution[]; scores: Record<string, number>; leftOut: string[];
  } | null;
  missing: string | null;
  calibration: { count: number; low: number; high: number; share: number | null; error: number | null } | null;
  similar: {
    time: string; longitude: number | null; latitude: number | null; title?: string; distance: number;
    predicted: number | null; truth: number | null;
  }[];
  /** Of points: what else the row tells, earlier rows of the place, whether there is a picture, and a stored explanation. */
  facts?: [string, string | number][];
  others?: { time: string; value: number; file: string }[];
  picture?: boolean;
  stored?: boolean;
  lineage: { kind: string; name: string; url: string }[];
}

const MOST = 12;

function when(lag: number | null): string {
  if (lag === null) return "";
  if (lag === 0) return ", now";
  const steps = `${Math.abs(lag)} ${Math.abs(lag) === 1 ? "step" : "steps"}`;
  return lag > 0 ? `, ${steps} before` : `, ${steps} ahead`;
}

function bar(value: number, largest: number): SVGElement {
  const width = (Math.abs(value) / (largest || 1)) * 50;
  return s("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: value < 0 ? "negative" : "positive", x: value < 0 ? 50 - width : 50, y: 1, width: Math.max(width, 0.4), height: 8 }),
    s("rect", { class: "zero", x: 49.8, y: 0, width: 0.4, height: 10 }));
}

function rows(facts: [string, string][]): HTMLElement {
  return h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Return an address to follow if it leads to a page of the web, else nothing. */
export function safe(url: string): string | null {
  return /^https?:\/\//.test(url) ? url : null;
}

function link(url: string, text: string): HTMLElement {
  if (url.startsWith("#")) return h("a", { href: url }, text);
  const address = safe(url);
  return address ? h("a", { href: address, target: "_blank", rel: "noreferrer" }, text) : h("span", {}, text);
}

function explained(reason: Reason): (HTMLElement | null)[] {
  const { explanation } = reason;
  if (!explanation) return [h("p", { class: "hint" }, reason.missing ?? "")];
  const largest = Math.max(...explanation.attributions.map((each) => Math.abs(each.value)), 0);
  const body = h("tbody", {});
  for (const each of explanation.attributions.slice(0, MOST)) {
    body.append(h("tr", {},
      h("th", { scope: "row" }, each.name + when(each.lag), each.input === null ? null : h("span", { class: "soft" }, ` = ${digits(each.input, 3)}`)),
      h("td", { class: "bars" }, bar(each.value, largest) as unknown as HTMLElement),
      h("td", { class: "number" }, (each.value > 0 ? "+" : "") + digits(each.value, 3))));
  }
  const rest = explanation.attributions.length - MOST;
  const units = explanation.units && explanation.units !== "1" ? ` (${explanation.units})` : "";
  const scores = Object.entries(explanation.scores);
  return [
    h("table", { class: "attributions" },
      h("caption", { class: "hint" }, explanation.baseValue === null
        ? `What moved it most, against ${explanation.baseline || "the baseline"}${units}`
        : `What moved it from ${digits(explanation.baseValue)}, the prediction for ${explanation.baseline || "the baseline"}${units}`),
      body),
    rest > 0 ? h("p", { class: "hint" }, `and ${rest} smaller ones`) : null,
    h("h3", {}, "How good is this explanation"),
    rows([["method", explanation.method.replace(/_/g, " ")], ...scores.map(([name, value]): [string, string] => [name.replace(/_/g, " "), digits(value, 3)])]),
    explanation.leftOut.length ? h("p", { class: "hint" }, `Left out for lack of time: ${explanation.leftOut.join(", ")}`) : null,
  ];
}

/** Say what came true after predictions of about this value. */
export function calibrated({ calibration, units }: Reason): string | null {
  if (!calibration) return null;
  const { count, low, high, share, error } = calibration;
  const alike = `Of the ${count} forecasts most like this one, from ${digits(low, 3)} to ${quantity(Number(high.toPrecision(3)), units)},`;
  if (share !== null) return `${alike} ${digits(share * 100, 3)} % came true.`;
  return error === null ? null : `${alike} nine in ten were off by no more than ${quantity(Number(error.toPrecision(3)), units)}.`;
}

function cases(reason: Reason, layer: Layer, go: (time: string, longitude: number, latitude: number) => void): HTMLElement[] {
  if (!reason.similar.length) return [];
  const written = (value: number | null): string => {
    const category = layer.style.classes.find((each) => each.value === value)?.label;
    return category ?? (value === null ? "not known" : quantity(Number(value.toPrecision(3)), reason.units));
  };
  const list = reason.similar.map((one) => h("li", {},
    one.longitude === null || one.latitude === null
      ? h("span", {}, `${one.time.slice(0, 10)}, ${(one.title ?? "").replace(/_/g, " ") || "no place on the map"}`)
      : h("button", { type: "button", class: "plain link", click: () => go(one.time.slice(0, 16), one.longitude!, one.latitude!) },
        `${one.time.slice(0, 10)}, ${(one.title ?? "").replace(/_/g, " ") || degrees(one.longitude, one.latitude)}`),
    h("span", { class: "soft" }, ` predicted ${written(one.predicted)}${one.truth === null ? "" : `, came true ${digits(one.truth, 3)}`}, distance ${digits(one.distance, 2)}`)));
  return [h("h3", {}, "Similar past cases"), h("ol", { class: "lineage", "data-reason": "similar" }, ...list)];
}

/** What else a row tells, its picture, and what was seen at the place before. */
function more(reason: Reason, picture: string | null): (HTMLElement | null)[] {
  const facts = (reason.facts ?? []).map(([name, value]): [string, string] => [name, typeof value === "number" ? digits(value, 3) : value]);
  const before = reason.others ?? [];
  return [
    facts.length ? rows(facts) : null,
    picture ? h("figure", { class: "alert-picture" }, h("img", { src: picture, alt: "Interferogram, and where the model sees support of deformation" })) : null,
    before.length ? h("details", {}, h("summary", {}, `Earlier ones of this place (${before.length})`),
      h("ol", { class: "lineage", "data-reason": "others" }, ...before.map((one) =>
        h("li", {}, `${one.time.slice(0, 10)}: ${digits(one.value, 3)} `, h("span", { class: "soft" }, one.file))))) : null,
  ];
}

/** Make the part of the panel that tells of a prediction. */
export function reasonPart(
  reason: Reason, layer: Layer, picture: string | null, go: (time: string, longitude: number, latitude: number) => void,
): HTMLElement {
  const note = calibrated(reason), category = layer.style.classes.find((each) => each.value === reason.value)?.label;
  const parts: (HTMLElement | null)[] = [
    h("h3", {}, "Why this prediction"),
    h("p", { class: "hint", "data-reason": "value" }, `${category ?? quantity(reason.value, reason.units)}, ${layer.mode === "points" ? "of" : "forecast at"} ${reason.time.slice(0, 10)}`),
    note ? h("p", { class: "note", "data-reason": "calibration" }, note) : null,
    ...more(reason, picture),
    ...explained(reason),
    reason.stored ? h("p", { class: "hint" }, "The explanation that was stored with it: the parts that mattered most.") : null,
  ];
  if (reason.model) {
    const metrics = Object.entries(reason.model.metrics);
    if (metrics.length) {
      parts.push(h("h3", {}, "How good is the model"), h("p", { class: "hint" }, reason.model.description));
      parts.push(rows(metrics.map(([name, value]): [string, string] => [name.replace(/_/g, " "), digits(value, 3)])));
    }
  }
  parts.push(...cases(reason, layer, go));
  if (reason.lineage.length) {
    parts.push(h("h3", {}, "Where it comes from"));
    parts.push(h("ol", { class: "lineage" }, ...reason.lineage.map((each) =>
      h("li", {}, h("span", { class: "soft" }, `${each.kind}: `), link(each.url, each.name)))));
  }
  return h("section", { "aria-label": "Why this prediction" }, ...parts);
}
