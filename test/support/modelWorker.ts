/** The script of a worker that holds a model. */
import { serve } from "../../src/worker/serve.ts";

serve({ keepEveryMs: 100 });
