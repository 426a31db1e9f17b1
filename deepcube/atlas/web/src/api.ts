/** What the server tells, and how it is asked. */

export interface LayerName { id: string; title: string; units: string; kind: string; timed: boolean }
export interface Collection {
  id: string; title: string; kind: "cube" | "predictions"; simulated: boolean;
  facts: Record<string, string>; leftOut: string[]; layers: LayerName[];
}
export interface Contents {
  collections: Collection[]; loading: boolean; links: Record<string, string>; palettes: Record<string, string[]>;
  explained: string[]; notes: string[]; semantics: { examples: [string, string][]; prefixes: Record<string, string> } | null;
}
export interface Category { value: number; label: string; colour: string }
export interface Style {
  palette: string; scheme: "sequential" | "diverging" | "cyclic" | "classes"; low: number; high: number;
  stops: string[]; classes: Category[]; masks: boolean;
}
export interface Layer {
  collection: string; version: string; id: string; name: string; title: string; units: string;
  kind: "continuous" | "categorical" | "count"; simulated: boolean;
  bounds: [number, number, number, number]; rows: number; columns: number; mode: "frame" | "tiles" | "points";
  frame: [number, number]; maxzoom: number; times: string[] | null; step: number | null; style: Style;
  others: Record<string, number>; truth: string | null;
}
export interface Series {
  id: string; units: string; kind: string; row: number; column: number; longitude: number; latitude: number;
  outline: [number, number][]; times: string[] | null; values: (number | null)[];
  normal: { mean: (number | null)[]; std: (number | null)[] } | null;
}
export interface SeriesAnswer { longitude: number; latitude: number; series: Series[]; beyond: string[] }

/** Longitude, latitude and name of places; place, step and value of rows, the oldest first. */
export interface Points { places: [number, number, string][]; rows: [number, number, number][]; symbol: "circle" | "triangle" }

/** What the server says is wrong. */
export class ApiError extends Error {
  constructor(readonly status: number, message: string) { super(message); }
}

let whenSignedOut: () => void = () => undefined;
/** Set what happens when the server asks for a key. */
export function onSignedOut(action: () => void): void { whenSignedOut = action; }

export type Query = Record<string, string | number | null | undefined | string[]>;

/** Return the address of a call. */
export function address(call: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const each of value) parameters.append(name, each);
    else if (value !== null && value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${location.origin}/api/${call}${text ? `?${text}` : ""}`;
}

async function answered(response: Response): Promise<Response> {
  if (response.ok) return response;
  if (response.status === 401) whenSignedOut();
  let message = `${response.status} ${response.statusText}`;
  try { message = (await response.json()).error ?? message; } catch { /* not JSON: the status says it */ }
  throw new ApiError(response.status, message);
}

/** Ask for a document. */
export async function get<T>(call: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return (await answered(await fetch(address(call, query), { signal }))).json() as Promise<T>;
}

/** Send a document. */
export async function post<T>(call: string, document: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(document);
  return (await answered(await fetch(address(call), { method: "POST", headers, body, signal }))).json() as Promise<T>;
}

/** Ask for bytes. */
export async function getBlob(call: string, query: Query, signal?: AbortSignal): Promise<Blob> {
  return (await answered(await fetch(address(call, query), { signal }))).blob();
}

/** Sign out. */
export async function signOut(): Promise<void> {
  await fetch(address("session"), { method: "DELETE" });
}
