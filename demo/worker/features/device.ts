import type { Answers, DeviceCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { deviceName } from "../name.ts";
import { sizesFor } from "../sizes.ts";

export const deviceAnswers = (lab: Lab): Answers<DeviceCalls> => ({
  async open(seen) {
    const { limits, info, software } = await lab.connect();
    lab.limits = {
      maxStorageBufferBindingSize: Math.min(seen.maxStorageBufferBindingSize, limits.maxStorageBufferBindingSize),
      maxBufferSize: Math.min(seen.maxBufferSize, limits.maxBufferSize),
    };
    return { name: deviceName(info), software, sizes: sizesFor(software) };
  },
});
