let recording = true;

/** Whether operations record how to compute gradients. */
export function gradEnabled(): boolean {
  return recording;
}

function withMode<R>(mode: boolean, fn: () => R): R {
  const before = recording;
  recording = mode;
  try {
    return fn();
  } finally {
    recording = before;
  }
}

/** Runs `fn` without recording: results require no gradient and nothing is kept for backward. */
export function noGrad<R>(fn: () => R): R {
  return withMode(false, fn);
}

/** Records again inside a `noGrad`. */
export function enableGrad<R>(fn: () => R): R {
  return withMode(true, fn);
}
