/** Questions in SPARQL: ask, read the table, see the places on the map, coloured by a column. */

import type { Feature, FeatureCollection, Geometry } from "geojson";
import { address } from "./api";
import { h } from "./dom";

export interface Term { type: string; value: string; datatype?: string }
export interface Answer { names: string[]; rows: Record<string, Term>[]; seconds: number }

/** Ask a question; what the server says is wrong becomes the error's message. */
export async function ask(query: string, signal: AbortSignal): Promise<Answer> {
  const began = performance.now();
  const response = await fetch(address("semantics/sparql"), {
    method: "POST", body: new URLSearchParams({ query, format: "json" }), headers: { accept: "application/sparql-results+json" }, signal,
  });
  const text = await response.text();
  if (!response.ok) {
    let message = text;
    try { const found = JSON.parse(text); message = found.message ?? found.error ?? text; } catch { /* plain text */ }
    throw new Error(message);
  }
  const found = JSON.parse(text);
  if ("boolean" in found) return { names: ["answer"], rows: [{ answer: { type: "literal", value: String(found.boolean) } }], seconds: 0 };
  return { names: found.head.vars, rows: found.results.bindings, seconds: (performance.now() - began) / 1000 };
}

function numbers(text: string): number[][] {
  return text.split(",").map((pair) => pair.trim().split(/\s+/).map(Number)).filter((pair) => pair.length >= 2 && pair.every(Number.isFinite));
}

function groups(text: string, depth: number): string[] {
  const found: string[] = [];
  let level = 0, start = 0;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === "(") { level += 1; if (level === depth) start = i + 1; }
    if (text[i] === ")") { if (level === depth) found.push(text.slice(start, i)); level -= 1; }
  }
  return found;
}

/** Read well-known text of longitudes and latitudes; null for what it is not. */
export function geometry(text: string): Geometry | null {
  const match = /^\s*(?:<[^>]*>)?\s*(MULTI)?(POINT|LINESTRING|POLYGON)\s*Z?\s*(\(.*\))\s*$/is.exec(text);
  if (!match) return null;
  const many = Boolean(match[1]), kind = match[2]!.toUpperCase(), body = match[3]!;
  if (kind === "POINT") {
    const points = many ? numbers(body.replace(/[()]/g, " ")) : numbers(body.slice(1, -1));
    if (!points.length) return null;
    return many ? { type: "MultiPoint", coordinates: points } : { type: "Point", coordinates: points[0]! };
  }
  if (kind === "LINESTRING") {
    const lines = groups(body, many ? 2 : 1).map(numbers).filter((line) => line.length > 1);
    return lines.length ? { type: "MultiLineString", coordinates: lines } : null;
  }
  const polygons = many ? groups(body, 2).map((part) => groups(part, 1).map(numbers)) : [groups(body, 2).map(numbers)];
  const whole = polygons.filter((polygon) => polygon.length && polygon[0]!.length > 3);
  return whole.length ? { type: "MultiPolygon", coordinates: whole } : null;
}

const NUMBER = /#(integer|decimal|double|float|int|long)$/;

/** Return the names of columns that hold numbers wherever they hold anything. */
export function numeric(answer: Answer): string[] {
  return answer.names.filter((name) => answer.rows.some((row) => row[name]) &&
    answer.rows.every((row) => !row[name] || NUMBER.test(row[name]!.datatype ?? "")));
}

/** Return the places of an answer as features; the properties are the other columns. */
export function features(answer: Answer): FeatureCollection {
  const found: Feature[] = [];
  for (const row of answer.rows) {
    for (const name of answer.names) {
      const term = row[name];
      if (!term || !(term.datatype ?? "").endsWith("wktLiteral")) continue;
      const shape = geometry(term.value);
      if (!shape) continue;
      const properties: Record<string, string | number> = {};
      for (const other of answer.names) {
        const value = row[other];
        if (value && other !== name) properties[other] = NUMBER.test(value.datatype ?? "") ? Number(value.value) : value.value;
      }
      found.push({ type: "Feature", properties, geometry: shape });
    }
  }
  return { type: "FeatureCollection", features: found };
}

/** Write a term as people read it. */
export function shortened(term: Term, prefixes: Record<string, string>): string {
  if (term.type === "uri") {
    for (const [prefix, namespace] of Object.entries(prefixes)) {
      const local = term.value.slice(namespace.length);
      if (term.value.startsWith(namespace) && local && !local.includes("/")) return `${prefix}:${local}`;
    }
  }
  if (NUMBER.test(term.datatype ?? "") && Number.isFinite(Number(term.value))) return String(Number(Number(term.value).toPrecision(6)));
  return term.value.length > 80 ? `${term.value.slice(0, 77)}...` : term.value;
}

/** Make the table of an answer. */
export function table(answer: Answer, prefixes: Record<string, string>): HTMLElement {
  const most = 500;
  const body = h("tbody", {}, ...answer.rows.slice(0, most).map((row) =>
    h("tr", {}, ...answer.names.map((name) => h("td", {}, row[name] ? shortened(row[name]!, prefixes) : "")))));
  const said = `${answer.rows.length} ${answer.rows.length === 1 ? "row" : "rows"} in ${answer.seconds.toFixed(2)} s` +
    (answer.rows.length > most ? `, the first ${most} listed` : "");
  return h("div", {}, h("p", { class: "hint", role: "status" }, said),
    h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Answer" },
      h("table", { class: "answer" }, h("thead", {}, h("tr", {}, ...answer.names.map((name) => h("th", { scope: "col" }, name)))), body)));
}
