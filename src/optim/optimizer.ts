import normKernel from "../../kernels/optim/norm.wgsl";
import type { Device } from "../gpu/device.ts";
import { DisposedError, FileError, ValueError } from "../gpu/errors.ts";
import { empty, tensor, zeros } from "../tensor/create.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { CONTROL, CONTROL_WORDS } from "./control.ts";
import { BLOCK, type FlatBuffer, flatten } from "./flat.ts";
import { groupsOf, type ParameterGroup, type Rates, ratesOf, sameGroups, shownGroups } from "./groups.ts";

/** What every optimizer takes. */
export interface OptimizerOptions {
  /** Learning rate; change it with `setLr`. */
  readonly lr: number;
  readonly weightDecay?: number;
  /** Largest norm of all gradients together; larger ones are scaled down. Default 0: no clipping. */
  readonly maxNorm?: number;
  /** 2 (default), 1 or Infinity, as in PyTorch's clip_grad_norm_. */
  readonly normType?: number;
}

/** What the last step did, read from the device. */
export interface StepReport {
  /** Norm of all gradients before clipping; not finite if the step was skipped. */
  readonly gradNorm: number;
  /** Steps taken so far, without skipped ones. */
  readonly steps: number;
  /** Steps skipped so far because a gradient was not finite. */
  readonly skipped: number;
}

/**
 * Moments and counters of an optimizer, as checkpoints store them: name -> values, flat over all parameters, group by
 * group. `groups`, where there are several, has three values each: learning-rate factor, weight decay, parameter values.
 */
export type OptimizerState = Map<string, Float32Array<ArrayBuffer>>;

const NORM_GROUPS = 64;

/**
 * Base of the optimizers: parameters and gradients in flat buffers, one kernel for the norm of all gradients,
 * one for the update, whatever the number of parameters. Everything that changes from step to step lives on
 * the device, so a captured step can be replayed under any learning-rate schedule.
 */
export abstract class Optimizer {
  readonly device: Device;
  protected readonly buffers: readonly FlatBuffer[];
  /** Moments by name, one tensor a flat buffer. */
  protected readonly moments = new Map<string, Tensor<"f32">[]>();
  protected readonly control: Tensor<"f32">;
  /** Learning rate and weight decay of each group. */
  protected readonly groups: Tensor<"f32">;
  private readonly scales: readonly Rates[];
  private readonly partials: Tensor<"f32">;
  private readonly tables = new Map<string, Tensor<"u32">>();
  private readonly maxNorm: number;
  private readonly normType: number;
  private rate: number;
  private disposed = false;

  constructor(parameters: readonly Tensor<"f32">[] | readonly ParameterGroup[], options: OptimizerOptions) {
    const groups = groupsOf(parameters);
    const first = groups.find((group) => group.parameters.length > 0)?.parameters[0];
    if (!first) throw new ValueError("optimizer: there are no parameters; pass module.parameters()");
    const { lr, weightDecay = 0, maxNorm = 0, normType = 2 } = options;
    for (const [name, value] of Object.entries({ lr, weightDecay, maxNorm })) {
      if (!(value >= 0 && Number.isFinite(value)))
        throw new ValueError(`optimizer: ${name} is ${value}; use a number of 0 or more`);
    }
    if (![1, 2, Number.POSITIVE_INFINITY].includes(normType))
      throw new ValueError(`optimizer: normType is ${normType}; use 1, 2 or Infinity`);
    this.device = first.device;
    this.rate = lr;
    this.maxNorm = maxNorm;
    this.normType = normType;
    this.scales = ratesOf(groups, weightDecay);
    this.buffers = flatten(
      this.device,
      groups.map((group) => group.parameters),
    );
    this.control = keep(zeros(this.device, [CONTROL_WORDS]));
    this.groups = keep(tensor(this.device, this.rates(lr)));
    this.partials = keep(empty(this.device, [this.buffers.length * NORM_GROUPS, 4]));
  }

  /** Current learning rate. */
  get lr(): number {
    return this.rate;
  }

  /** Norm, clip factor and counters of the last step (control.ts), for kernels that follow it. */
  get controlTensor(): Tensor<"f32"> {
    return this.control;
  }

  /** Sets the learning rate of the following steps, also of captured ones. */
  setLr(lr: number): void {
    if (!(lr >= 0 && Number.isFinite(lr)))
      throw new ValueError(`setLr: the learning rate is ${lr}; use a number of 0 or more`);
    this.rate = lr;
    this.groups.write(this.rates(lr));
  }

  /** Forgets the gradients; the next backward overwrites them. */
  zeroGrad(): void {
    for (const { places } of this.buffers) for (const { parameter } of places) parameter.gradValid = false;
  }

  /** Clips and applies the gradients; parameters without one stay. Records work, waits for nothing. */
  step(): void {
    if (this.disposed) throw new DisposedError("step: the optimizer was disposed; make another");
    const tables = this.buffers.map((buffer) => this.blocksOf(buffer));
    const [oneMinusBeta1, oneMinusBeta2] = this.corrections();
    const NORM = this.normType === Number.POSITIVE_INFINITY ? 0 : this.normType;
    let partials = 0;
    this.buffers.forEach((buffer, i) => {
      const words = buffer.size / 4;
      const used = Math.min(NORM_GROUPS, Math.ceil(words / 64));
      const params = {
        words,
        stride: used * 64,
        at: partials,
        partials: 0,
        limit: 0,
        one_minus_beta1: 0,
        one_minus_beta2: 0,
      };
      const blocks = tables[i] as Tensor<"u32">;
      this.device.dispatch(
        normKernel,
        "partial",
        { grad: buffer.grads, blocks, partials: this.partials },
        params,
        [used],
        { NORM },
      );
      partials += used;
    });
    this.device.dispatch(
      normKernel,
      "finish",
      { partials: this.partials, control: this.control },
      {
        words: 0,
        stride: 0,
        at: 0,
        partials,
        limit: this.maxNorm,
        one_minus_beta1: oneMinusBeta1,
        one_minus_beta2: oneMinusBeta2,
      },
      [1],
      { NORM },
    );
    this.buffers.forEach((buffer, i) => {
      this.update(buffer, i, tables[i] as Tensor<"u32">);
    });
  }

  /** Waits for the device and reads what the last step did. */
  async report(): Promise<StepReport> {
    const control = await this.control.data();
    return {
      gradNorm: control[CONTROL.skip] ? Number.NaN : (control[CONTROL.norm] as number),
      steps: control[CONTROL.steps] as number,
      skipped: control[CONTROL.skipped] as number,
    };
  }

  /** Moments and counters, to continue bit for bit later. */
  async state(): Promise<OptimizerState> {
    const names = [...this.moments.keys()];
    const parts = await Promise.all([
      this.control.data(),
      ...names.flatMap((name) => (this.moments.get(name) ?? []).map((t) => t.data())),
    ]);
    const state: OptimizerState = new Map([["control", parts[0] as Float32Array<ArrayBuffer>]]);
    const groups = this.grouping();
    if (groups) state.set("groups", groups);
    let at = 1;
    for (const name of names)
      for (const i of this.buffers.keys()) state.set(`${name}.${i}`, parts[at++] as Float32Array<ArrayBuffer>);
    return state;
  }

  /** @throws FileError if the state is of another optimizer or other parameters; nothing changes then */
  restore(state: OptimizerState): void {
    const targets = new Map<string, Tensor<"f32">>([["control", this.control]]);
    for (const [name, list] of this.moments)
      for (const [i, target] of list.entries()) targets.set(`${name}.${i}`, target);
    const faults = [...targets].flatMap(([name, target]) => {
      const found = state.get(name);
      if (!found) return [`${name} is missing`];
      return found.length === target.size ? [] : [`${name} has ${found.length} values instead of ${target.size}`];
    });
    // Moments lie group by group: in other groups they would belong to other parameters.
    const [saved, own] = [state.get("groups") ?? null, this.grouping()];
    if (!sameGroups(saved, own)) faults.push(`its groups are ${shownGroups(saved)} instead of ${shownGroups(own)}`);
    if (faults.length > 0)
      throw new FileError(
        "optimizer-state",
        `restore: the optimizer state does not fit (${faults.join("; ")}); use the checkpoint of the same model and optimizer`,
      );
    for (const [name, target] of targets) target.write(state.get(name) as Float32Array<ArrayBuffer>);
  }

  /** Gives moments and gradients back; parameters keep their values. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const list of this.moments.values()) for (const moment of list) moment.dispose();
    for (const { places, values, grads } of this.buffers) {
      for (const { parameter } of places) {
        parameter.gradSlot?.dispose();
        parameter.gradSlot = null;
        parameter.gradValid = false;
      }
      values.dispose();
      grads.dispose();
    }
    for (const table of this.tables.values()) table.dispose();
    for (const own of [this.control, this.groups, this.partials]) own.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Adds a moment buffer, zero at first. */
  protected addMoment(name: string): void {
    this.moments.set(
      name,
      this.buffers.map(({ size }) => keep(zeros(this.device, [size]))),
    );
  }

  protected moment(name: string, buffer: number): Tensor<"f32"> {
    return this.moments.get(name)?.[buffer] as Tensor<"f32">;
  }

  /** 1 - beta1 and 1 - beta2 for the bias corrections; zeros without. */
  protected abstract corrections(): readonly [number, number];

  /** Records the update of one flat buffer. */
  protected abstract update(buffer: FlatBuffer, index: number, blocks: Tensor<"u32">): void;

  /** What the state tells of several groups. */
  private grouping(): Float32Array<ArrayBuffer> | null {
    if (this.scales.length === 1) return null;
    return Float32Array.from(this.scales.flatMap(({ lrScale, weightDecay, size }) => [lrScale, weightDecay, size]));
  }

  private rates(lr: number): number[] {
    return this.scales.flatMap(({ lrScale, weightDecay }) => [lr * lrScale, weightDecay, 0, 0]);
  }

  /** Table of groups and valid elements, for the parameters that have a gradient now. */
  private blocksOf(buffer: FlatBuffer): Tensor<"u32"> {
    const key = `${this.buffers.indexOf(buffer)}:${buffer.places.map(({ parameter }) => (parameter.gradValid ? 1 : 0)).join("")}`;
    let table = this.tables.get(key);
    if (!table) {
      const words = new Uint32Array(buffer.size / BLOCK);
      for (const { parameter, offset, group } of buffer.places) {
        if (!parameter.gradValid) continue;
        for (let done = 0; done < parameter.size; done += BLOCK) {
          words[(offset + done) / BLOCK] = (group << 8) | Math.min(BLOCK, parameter.size - done);
        }
      }
      table = keep(tensor(this.device, words));
      this.tables.set(key, table);
    }
    return table;
  }
}
