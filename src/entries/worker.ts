/**
 * A model in a worker, seen from the page: holds no engine.
 * @module ostinato/worker
 */
// Public names only; nothing inside src imports this file.
export * from "../gpu/errors.ts";
export {
  type ConnectOptions,
  connect,
  type RemoteGenerateOptions,
  RemoteModel,
  type RemoteOpenOptions,
  RemoteSession,
  type RemoteTrainOptions,
} from "../worker/connect.ts";
export type { MessageTarget } from "../worker/port.ts";
export type {
  CreateOptions,
  DeviceReport,
  ModelReport,
  TextOptions,
  TrainArguments,
  TrainResult,
} from "../worker/types.ts";
