/** What the page shows: kept in the address after #, so that a link restores it. */

export interface Shown { collection: string; layer: string; palette?: string; low?: number; high?: number }
export interface Camera { longitude: number; latitude: number; zoom: number }
export interface State {
  view: "map" | "block" | "query";
  main: Shown | null;
  other: Shown | null;
  swipe: number;
  opacity: number;
  time: string | null;
  place: [number, number] | null;
  beside: string[];
  camera: Camera | null;
  theme: "light" | "dark" | null;
  query: string | null;
  colour: string | null;
  cut: [number, number, number, number, number] | null;
}

export const INITIAL: State = {
  view: "map", main: null, other: null, swipe: 0.5, opacity: 0.85, time: null, place: null, beside: [],
  camera: null, theme: null, query: null, colour: null, cut: null,
};

function number(text: string | null): number | undefined {
  if (text === null || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function between(value: number | undefined, low: number, high: number, otherwise: number): number {
  return value === undefined ? otherwise : Math.min(high, Math.max(low, value));
}

function shown(parameters: URLSearchParams, prefix: string): Shown | null {
  const collection = parameters.get(`${prefix}in`), layer = parameters.get(`${prefix}layer`);
  if (!collection || !layer) return null;
  const low = number(parameters.get(`${prefix}low`)), high = number(parameters.get(`${prefix}high`));
  const range = low !== undefined && high !== undefined && low < high ? { low, high } : {};
  return { collection, layer, palette: parameters.get(`${prefix}palette`) ?? undefined, ...range };
}

/** Read the state from the part of an address after #. */
export function parse(hash: string): State {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const place = (parameters.get("place") ?? "").split(",").map(number);
  const camera = (parameters.get("at") ?? "").split(",").map(number);
  const cut = (parameters.get("cut") ?? "").split(",").map(number);
  const theme = parameters.get("theme");
  return {
    view: parameters.get("view") === "block" ? "block" : parameters.get("view") === "query" ? "query" : "map",
    main: shown(parameters, ""),
    other: shown(parameters, "other-"),
    swipe: between(number(parameters.get("swipe")), 0, 1, INITIAL.swipe),
    opacity: between(number(parameters.get("opacity")), 0, 1, INITIAL.opacity),
    time: parameters.get("time"),
    place: place.length === 2 && place[0] !== undefined && place[1] !== undefined && Math.abs(place[1]) <= 90
      ? [place[0], place[1]] : null,
    beside: parameters.getAll("beside").slice(0, 11),
    camera: camera.length === 3 && camera.every((part) => part !== undefined)
      ? {
        longitude: camera[0]!, latitude: between(camera[1], -85, 85, 0), zoom: between(camera[2], 0, 22, 2),
      } : null,
    theme: theme === "light" || theme === "dark" ? theme : null,
    query: parameters.get("query"),
    colour: parameters.get("colour"),
    cut: cut.length === 5 && cut.every((part) => part !== undefined)
      ? [between(cut[0], 0, 1, 1), between(cut[1], 0, 1, 1), between(cut[2], 0, 1, 1), between(cut[3], -180, 180, 0), between(cut[4], -90, 90, 0)]
      : null,
  };
}

/** Write the state as the part of an address after #. */
export function write(state: State): string {
  const parameters = new URLSearchParams();
  const set = (name: string, value: string | number | null | undefined): void => {
    if (value !== null && value !== undefined) parameters.set(name, String(value));
  };
  if (state.view !== "map") set("view", state.view);
  for (const [prefix, one] of [["", state.main], ["other-", state.other]] as const) {
    if (!one) continue;
    set(`${prefix}in`, one.collection);
    set(`${prefix}layer`, one.layer);
    set(`${prefix}palette`, one.palette);
    set(`${prefix}low`, one.low);
    set(`${prefix}high`, one.high);
  }
  set("time", state.time);
  if (state.other) set("swipe", Number(state.swipe.toFixed(3)));
  if (state.opacity !== INITIAL.opacity) set("opacity", Number(state.opacity.toFixed(2)));
  if (state.place) set("place", state.place.map((part) => part.toFixed(5)).join(","));
  for (const each of state.beside) parameters.append("beside", each);
  if (state.camera) {
    const { longitude, latitude, zoom } = state.camera;
    set("at", `${longitude.toFixed(4)},${latitude.toFixed(4)},${zoom.toFixed(2)}`);
  }
  set("theme", state.theme);
  set("query", state.query);
  set("colour", state.colour);
  if (state.cut) set("cut", state.cut.map((part) => Number(part.toFixed(3))).join(","));
  return `#${parameters.toString()}`;
}

/** Return a time of the server, in UTC, as milliseconds. */
export function instant(time: string): number {
  return Date.parse(time.length > 10 ? `${time}Z` : time);
}

/** Return the position of the step nearest to a time; the last one where no time is wanted. */
export function nearest(times: string[], time: string | null): number {
  if (time === null) return times.length - 1;
  const wanted = instant(time);
  let best = 0, least = Infinity;
  times.forEach((each, position) => {
    const apart = Math.abs(instant(each) - wanted);
    if (apart < least) { least = apart; best = position; }
  });
  return best;
}
