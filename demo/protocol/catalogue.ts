import type { TextId } from "./texts.ts";

/** An architecture that the worker can build. */
export interface ModelChoice {
  readonly id: string;
  readonly name: string;
  /** One line for someone who has never met it. */
  readonly about: string;
  /** What its experts set beside width, layers and context. */
  readonly options: readonly OptionChoice[];
  /** Whether it sees only so many characters back. */
  readonly windowed: boolean;
  /** Factor on the learning rate of a size, which is right for a recurrent layer. */
  readonly rate: number;
}

/** A size that only some models have, such as their heads. */
export interface OptionChoice {
  readonly name: string;
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

/** A text as the visitor chooses it. */
export interface TextChoice {
  readonly id: TextId;
  readonly name: string;
  readonly about: string;
  /** Made by an algorithm, which gives its answers right or wrong. */
  readonly task: boolean;
}

export interface Catalogue {
  readonly models: readonly ModelChoice[];
  readonly texts: readonly TextChoice[];
}

export interface CatalogueCalls {
  /** @param base address of the page, from which the texts are fetched */
  catalogue(base: string): Catalogue;
}
