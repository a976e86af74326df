import { createActions } from "./actions.ts";
import { createState } from "./state.ts";
import { mountAttention } from "./ui/attention.ts";
import { mountCheck } from "./ui/check.ts";
import { mountCompare } from "./ui/compare.ts";
import { mountDevice } from "./ui/device.ts";
import { mountDrop } from "./ui/drop.ts";
import { mountLink } from "./ui/link.ts";
import { mountLook } from "./ui/look.ts";
import { mountLoss } from "./ui/loss.ts";
import { mountLossRuns } from "./ui/lossRuns.ts";
import { mountMeters } from "./ui/meters.ts";
import { mountOpen } from "./ui/open.ts";
import { mountRuns } from "./ui/runs.ts";
import { mountSamples } from "./ui/samples.ts";
import { mountSettings } from "./ui/settings.ts";
import { mountTalk } from "./ui/talk.ts";
import { mountTexts } from "./ui/texts.ts";
import { mountTheme } from "./ui/theme.ts";
import { mountTransport } from "./ui/transport.ts";

const state = createState();
const actions = createActions(state);

mountTheme(state);
mountDevice(state);
mountTransport(state, actions);
mountTexts(state, actions);
mountSettings(state, actions);
mountLink(state, actions);
mountLoss(state);
mountLossRuns(state);
mountMeters(state);
mountSamples(state);
mountTalk(state, actions);
mountOpen(state, actions);
mountCompare(state, actions);
mountRuns(state, actions);
mountAttention(state, actions);
mountCheck(state, actions);
mountLook(state, actions);
mountDrop(actions);

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") actions.keep();
});

void actions.open();
