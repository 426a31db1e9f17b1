/** What the parts of the page share: what there is, what is shown, and how they tell each other. */

import type { Contents, Layer } from "./api";
import type { AtlasMap } from "./map";
import type { Shown, State } from "./state";

export interface Scene {
  contents: Contents;
  state: State;
  readonly map: AtlasMap;
  readonly other: AtlasMap | null;
  /** The layer that is shown, and the one it is compared with. */
  readonly main: Layer | null;
  readonly compared: Layer | null;
  /** Tell whether the server has a layer. */
  known(shown: Shown): boolean;
  /** Write the state into the address. */
  remember(): void;
  /** Draw the panel of layers or questions, and the legends, anew. */
  controls(): void;
  legends(): void;
  /** Show the step nearest to a time. */
  go(time: string): void;
  /** Say what is being done; an empty text for nothing. */
  busy(text: string): void;
  /** Say what went wrong. */
  tell(error: unknown): void;
}
