/**
 * From the recorded steps of a run to frames: what each thread and each channel was like after each step.
 *
 * A frame holds everything, so that the replay can go to any of them, forwards or back. The lines of the program that a
 * thread came to belong to the frame before them: they are where it got to until the next thing happened.
 */

const isWorker = (name) => /^(worker|thread|pool-worker)\b/.test(name);

/** Frames of a trace from POST /api/lab/runs; the first is the moment before the start. */
export function framesOf(trace) {
  const state = firstState(trace);
  const last = lastSteps(trace.steps);
  const frames = [snapshot(state, null)];
  trace.steps.forEach((step, index) => {
    const thread = state.threads[step.who];
    if (step.what === "line") {
      for (const each of [thread, frames.at(-1).threads[step.who]]) {
        each.line = step.line;
        if (each.state === "absent") each.state = "running";
      }
    } else {
      take(state, thread, step);
      frames.push(snapshot(state, step));
    }
    if (last.get(step.who) === index) end(frames.at(-1), state, step.who, trace.ended);
  });
  return frames;
}

function firstState(trace) {
  const threads = Object.fromEntries(
    trace.threads.map((name) => [name, { name, worker: isWorker(name), state: "absent", item: null, wants: null, line: null }]),
  );
  const channels = Object.fromEntries(
    Object.entries(trace.channels).map(([name, capacity]) => [name, { name, capacity, buffered: [], senders: [], receivers: [], closed: false }]),
  );
  return { threads, channels, output: [], refused: [], dropped: [], done: 0 };
}

const snapshot = (state, step) => ({ ...structuredClone(state), step, at_ms: step ? step.at_ms : 0 });

function lastSteps(steps) {
  const last = new Map();
  steps.forEach((step, index) => last.set(step.who, index));
  return last;
}

/** A thread's last step: after it the thread has ended, unless the run ended in a deadlock, or it is main, which waits. */
function end(frame, state, who, ended) {
  const waits = who === "main";
  for (const thread of [frame.threads[who], state.threads[who]]) {
    if (ended === "deadlock" && thread.wants) continue;
    thread.state = waits ? "idle" : "ended";
    thread.wants = waits ? "the others to end" : null;
    thread.item = null;
  }
}

function take(state, thread, step) {
  const { what, item, channel: where } = step;
  if (where) {
    const channel = state.channels[where];
    Object.assign(channel, { buffered: step.buffered, senders: step.senders, receivers: step.receivers });
    if (what === "closed") channel.closed = true;
  }
  if (thread.state === "absent") thread.state = "running";
  const change = changes[what];
  if (change) change(state, thread, item, where, step);
}

const changes = {
  sent(state, thread, item, where) {
    Object.assign(thread, { state: "running", wants: null });
    if (where === "results") thread.item = null;
  },
  took(state, thread, item, where) {
    Object.assign(thread, { state: "running", wants: null });
    if (where === "jobs") thread.item = item;
  },
  "waits to send"(state, thread, item, where) {
    Object.assign(thread, { state: "blocked", wants: `a place in ${where} for ${item}` });
  },
  "waits to take"(state, thread, item, where) {
    Object.assign(thread, { state: "idle", wants: `something in ${where}` });
    if (where === "jobs") thread.item = null;
  },
  "gave up"(state, thread) {
    Object.assign(thread, { state: "running", wants: null });
  },
  starts(state, thread, item) {
    Object.assign(thread, { state: "running", item });
  },
  finishes(state, thread) {
    state.done += 1;
    if (!state.channels.results) thread.item = null;
  },
  refused(state, thread, item) {
    state.refused.push(item);
  },
  dropped(state, thread, item) {
    state.dropped.push(item);
  },
  prints(state, thread, item, where, step) {
    state.output.push(step.text);
  },
  fails(state, thread, item, where, step) {
    state.output.push(`${thread.name} failed: ${step.text}`);
  },
};
