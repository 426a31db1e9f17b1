/** A series as a drawing: gaps stay gaps, the band is what is normal for the season, the line is now. */

import type { Series } from "./api";
import { digits, quantity, s } from "./dom";
import { instant } from "./state";

const WIDTH = 340, HEIGHT = 130, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 20;

function niceStep(span: number, most: number): number {
  const raw = span / most, unit = 10 ** Math.floor(Math.log10(raw));
  return unit * ([1, 2, 5, 10].find((factor) => factor * unit >= raw) ?? 10);
}

/** Return the parts of a series between its gaps, as positions. */
export function runs(values: (number | null)[]): number[][] {
  const found: number[][] = [];
  let run: number[] = [];
  values.forEach((value, position) => {
    if (value !== null) run.push(position);
    else if (run.length) { found.push(run); run = []; }
  });
  if (run.length) found.push(run);
  return found;
}

function yearMarks(first: number, last: number): { at: number; text: string }[] {
  const days = (last - first) / 86_400_000;
  const marks: { at: number; text: string }[] = [];
  if (days > 800) {
    const start = new Date(first).getUTCFullYear(), years = days / 365.25;
    const every = Math.max(1, Math.ceil(years / 6));
    for (let year = start; year <= new Date(last).getUTCFullYear() + 1; year += every) {
      marks.push({ at: Date.UTC(year, 0, 1), text: String(year) });
    }
  } else {
    for (let part = 0; part <= 3; part += 1) {
      const at = first + ((last - first) * part) / 3;
      marks.push({ at, text: new Date(at).toISOString().slice(days > 3 ? 2 : 5, days > 3 ? 10 : 16).replace("T", " ") });
    }
  }
  return marks.filter((mark) => mark.at >= first && mark.at <= last);
}

/** Say in words what a chart shows. */
export function summary(series: Series, title: string): string {
  const known = series.values.filter((value): value is number => value !== null);
  if (!series.times || !known.length) return `${title}: no values here`;
  const gaps = series.values.length - known.length;
  return `${title} from ${series.times[0]} to ${series.times[series.times.length - 1]}: ${known.length} values from ` +
    `${quantity(Math.min(...known), series.units)} to ${quantity(Math.max(...known), series.units)}, ` +
    `${gaps} ${gaps === 1 ? "gap" : "gaps"}`;
}

export interface Line { label: string; times: string[]; values: (number | null)[]; kind: string }

/** Draw a series, with further lines of the same units. */
export function chart(series: Series, title: string, now: string | null, others: Line[] = []): SVGElement {
  const drawing = s("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": summary(series, title),
  });
  const times = (series.times ?? []).map(instant);
  if (!times.length) return drawing;
  const spread = series.normal
    ? series.normal.mean.flatMap((mean, i) => (mean === null ? [] : [mean - series.normal!.std[i]!, mean + series.normal!.std[i]!]))
    : [];
  const all = [...series.values, ...spread, ...others.flatMap((line) => line.values)]
    .filter((value): value is number => value !== null);
  if (!all.length) return drawing;
  let low = Math.min(...all), high = Math.max(...all);
  if (low === high) { low -= Math.abs(low) / 10 || 1; high += Math.abs(high) / 10 || 1; }
  const first = times[0]!, last = Math.max(times[times.length - 1]!, first + 1);
  const x = (at: number): number => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const step = niceStep(high - low, 4);
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    drawing.append(
      s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: LEFT - 4, y: y(value) + 3, "text-anchor": "end" }, digits(Math.abs(value) < step / 1e6 ? 0 : value, 3)),
    );
  }
  for (const mark of yearMarks(first, last)) {
    drawing.append(s("text", { class: "tick", x: x(mark.at), y: HEIGHT - 6, "text-anchor": mark.at > (first + 5 * last) / 6 ? "end" : "start" }, mark.text));
  }
  if (series.normal) {
    const { mean, std } = series.normal;
    for (const run of runs(mean)) {
      const upper = run.map((i) => `${x(times[i]!).toFixed(1)} ${y(mean[i]! + std[i]!).toFixed(1)}`);
      const lower = [...run].reverse().map((i) => `${x(times[i]!).toFixed(1)} ${y(mean[i]! - std[i]!).toFixed(1)}`);
      drawing.append(s("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` }));
      drawing.append(s("path", { class: "mean", d: `M${run.map((i) => `${x(times[i]!).toFixed(1)} ${y(mean[i]!).toFixed(1)}`).join("L")}` }));
    }
  }
  draw(drawing, times, series.values, "line", x, y, series.kind === "categorical");
  for (const line of others) draw(drawing, line.times.map(instant), line.values, `line ${line.kind}`, x, y, false);
  if (now !== null && instant(now) >= first && instant(now) <= last) {
    drawing.append(s("line", { class: "now", x1: x(instant(now)), x2: x(instant(now)), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  return drawing;
}

function draw(
  drawing: SVGElement, times: number[], values: (number | null)[], name: string,
  x: (at: number) => number, y: (value: number) => number, dotsOnly: boolean,
): void {
  const paths: string[] = [], dots: string[] = [];
  for (const run of runs(values)) {
    const points = run.map((i) => `${x(times[i]!).toFixed(1)} ${y(values[i]!).toFixed(1)}`);
    if (points.length > 1 && !dotsOnly) paths.push(`M${points.join("L")}`);
    // A value between two gaps has no line to either side, so it is a dot: a line of no length with round ends.
    else dots.push(...points.map((point) => `M${point}h0`));
  }
  if (paths.length) drawing.append(s("path", { class: name, d: paths.join("") }));
  if (dots.length) drawing.append(s("path", { class: `${name} dots`, d: dots.join("") }));
}
