import { ValueError } from "../gpu/errors.ts";
import { Random } from "../tensor/philox.ts";
import { CharTokenizer } from "./characters.ts";
import type { Corpus } from "./corpus.ts";

/** Names of the algorithmic tasks. */
export type TaskName = "copy" | "reverse" | "sort" | "add" | "brackets";

/** A question of a task with its one right answer. */
export interface TaskExample {
  readonly question: string;
  readonly answer: string;
}

/** An algorithm to be learned from examples, which a text holds one a line: `cab=abc`. */
export interface Task {
  readonly name: TaskName;
  readonly label: string;
  /** One sentence for people who choose. */
  readonly summary: string;
  /** All characters of its lines. */
  readonly characters: string;
  /** Longest question by default: symbols, or digits of a summand. */
  readonly length: number;
  readonly ask: (random: Random, length: number) => string;
  readonly solve: (question: string) => string;
}

/** Between a question and its answer. */
const ANSWER_SIGN = "=";

const SHORTEST = 2;
const LETTERS = "abcdefgh";
const DIGITS = "0123456789";
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };
const OPENING = Object.keys(CLOSING);

const pick = (random: Random, from: string | readonly string[]): string => from[random.integer(from.length)] as string;
const symbols = (count: number, next: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => next(at)).join("");
const lengthUpTo = (random: Random, most: number): number => SHORTEST + random.integer(most - SHORTEST + 1);
const letters = (random: Random, length: number): string =>
  symbols(lengthUpTo(random, length), () => pick(random, LETTERS));
const onLetters = { characters: LETTERS, length: 6, ask: letters };

/** A beginning that can still be completed, with at least one bracket open at its end. */
function openBrackets(random: Random, length: number): string {
  const open: string[] = [];
  const size = lengthUpTo(random, length);
  return symbols(size, (at) => {
    // The last symbol must not close the only bracket that is open.
    const opens = open.length === 0 || (at === size - 1 && open.length === 1) || random.integer(2) === 0;
    if (!opens) return CLOSING[open.pop() as string] as string;
    open.push(pick(random, OPENING));
    return open.at(-1) as string;
  });
}

function closeBrackets(question: string): string {
  const open: string[] = [];
  for (const symbol of question) {
    if (symbol in CLOSING) open.push(symbol);
    else open.pop();
  }
  return open
    .reverse()
    .map((symbol) => CLOSING[symbol])
    .join("");
}

function twoNumbers(random: Random, digits: number): string {
  const number = () => String(random.integer(10 ** (1 + random.integer(digits))));
  return `${number()}+${number()}`;
}

/** The algorithmic tasks, easiest first. */
export const tasks: readonly Task[] = [
  {
    name: "copy",
    label: "Copy",
    summary: "Repeat the letters: only what is remembered can be repeated.",
    ...onLetters,
    solve: (question) => question,
  },
  {
    name: "reverse",
    label: "Reverse",
    summary: "Write the letters backwards: what came last is wanted first.",
    ...onLetters,
    solve: (question) => [...question].reverse().join(""),
  },
  {
    name: "sort",
    label: "Sort",
    summary: "Write the letters in the order of the alphabet.",
    ...onLetters,
    solve: (question) => [...question].sort().join(""),
  },
  {
    name: "add",
    label: "Add",
    summary: "Add two whole numbers, the carried digits included.",
    characters: `${DIGITS}+`,
    length: 2,
    ask: twoNumbers,
    solve: (question) => String(question.split("+").reduce((sum, number) => sum + Number(number), 0)),
  },
  {
    name: "brackets",
    label: "Brackets",
    summary: "Close every bracket that is still open, the last one first.",
    characters: OPENING.join("") + Object.values(CLOSING).join(""),
    length: 10,
    ask: openBrackets,
    solve: closeBrackets,
  },
];

/**
 * A task by its name, for instance `sort`.
 * @throws ValueError naming the tasks that exist
 */
export function taskOf(name: string): Task {
  const found = tasks.find((task) => task.name === name);
  if (found) return found;
  throw new ValueError(
    `task: there is none called ${JSON.stringify(name)}; known are ${tasks.map((task) => task.name).join(", ")}`,
  );
}

/** How many examples a task makes, and how long. */
export interface TaskOptions {
  /** Fixes the examples; default 0. */
  readonly seed?: number;
  /** Characters to train on, about; default 200,000. */
  readonly trainLength?: number;
  /** Characters held out, about; default a tenth of `trainLength`. */
  readonly validationLength?: number;
  /** Longest question: symbols, or digits of a summand. */
  readonly length?: number;
}

/** A corpus whose held-out part asks nothing that the training part asks. */
export interface TaskCorpus extends Corpus {
  readonly task: Task;
  /** The examples of the held-out part, in its order; `answerAccuracy` grades them. */
  readonly heldOut: readonly TaskExample[];
}

/** Longest question that can be asked for; sums stay exact up to 15 digits. */
const LONGEST: Readonly<Record<TaskName, number>> = { copy: 64, reverse: 64, sort: 64, add: 15, brackets: 64 };
/** One question of so many is held out. */
const HELD_OUT = 10;

/**
 * Examples of a task as a text, one a line, in a training and a held-out part. The question alone decides to which part
 * it belongs, so that no seed and no length lets a held-out question into training.
 *
 * @throws ValueError if there is no such task, or a length is out of range
 */
export function taskCorpus(name: TaskName, options: TaskOptions = {}): TaskCorpus {
  const task = taskOf(name);
  const {
    seed = 0,
    trainLength = 200_000,
    validationLength = Math.ceil(trainLength / 10),
    length = task.length,
  } = options;
  for (const [what, value] of Object.entries({ trainLength, validationLength })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ValueError(`taskCorpus: ${what} is ${value}; use a whole number of 1 or more`);
  }
  const shortest = name === "add" ? 1 : SHORTEST;
  if (!Number.isInteger(length) || length < shortest || length > LONGEST[name])
    throw new ValueError(
      `taskCorpus: length is ${length}; for ${name} use a whole number from ${shortest} to ${LONGEST[name]}`,
    );
  const random = new Random(seed);
  const train = draw(task, random, length, trainLength, false);
  const validation = draw(task, random, length, validationLength, true);
  const tokenizer = new CharTokenizer(`${task.characters}${ANSWER_SIGN}\n`);
  const encode = (examples: readonly TaskExample[]) => tokenizer.encode(examples.map(lineOf).join(""));
  return { task, tokenizer, train: encode(train), validation: encode(validation), heldOut: validation };
}

/** A line as it stands in the text. */
export const lineOf = ({ question, answer }: TaskExample): string => `${question}${ANSWER_SIGN}${answer}\n`;

function draw(task: Task, random: Random, length: number, characters: number, heldOut: boolean): TaskExample[] {
  const examples: TaskExample[] = [];
  for (let size = 0; size < characters; ) {
    const question = task.ask(random, length);
    if (isHeldOut(question) !== heldOut) continue;
    const example = { question, answer: task.solve(question) };
    examples.push(example);
    size += lineOf(example).length;
  }
  return examples;
}

/** Whether training never sees the question: a tenth of all, by its hash (FNV-1a, 32 bits, RFC 9923, its halves mixed). */
export function isHeldOut(question: string): boolean {
  let hash = 0x811c9dc5;
  for (const symbol of question) hash = Math.imul(hash ^ (symbol.codePointAt(0) as number), 0x01000193);
  return ((hash ^ (hash >>> 16)) >>> 0) % HELD_OUT === 0;
}
