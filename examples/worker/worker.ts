import { serve } from "ostinato/worker/serve";

serve();
