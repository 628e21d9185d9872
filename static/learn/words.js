/** What happened, in words: for the line under the drawing, for the log, and for whoever hears the page read. */

const STATES = { absent: "not started", running: "running", blocked: "blocked", idle: "idle", ended: "ended" };

export const stateWord = (state) => STATES[state];

const places = (channel) => (channel.capacity === 0 ? "" : ` (${channel.buffered.length} of ${channel.capacity} places taken)`);

const sentences = {
  sent: (who, item, channel) => (channel.capacity === 0 ? `${who} hands ${item} over through ${channel.name}` : `${who} puts ${item} into ${channel.name}${places(channel)}`),
  took: (who, item, channel) => `${who} takes ${item} out of ${channel.name}${places(channel)}`,
  "waits to send": (who, item, channel) =>
    channel.capacity === 0
      ? `${who} is blocked: nobody is there to take ${item}, and ${channel.name} has no buffer`
      : `${who} is blocked: ${channel.name} has no place for ${item}${places(channel)}`,
  "waits to take": (who, item, channel) => `${who} is idle: ${channel.name} is empty`,
  "gave up": (who) => `${who} waits no longer`,
  closed: (who, item, channel) => `${who} closes ${channel.name}: nothing more comes`,
  starts: (who, item) => `${who} works on ${item}`,
  finishes: (who, item) => `${who} is done with ${item}`,
  refused: (who, item) => `job ${item} is refused: there is no place for it`,
  dropped: (who, item) => `job ${item} is dropped: it was the oldest, and a newer one takes its place`,
};

/** One frame's step as a sentence. */
export function sentenceOf(frame) {
  const { step } = frame;
  if (step === null) return "Before the start.";
  if (step.what === "prints") return `${step.who} prints “${step.text}”.`;
  if (step.what === "fails") return `${step.who} fails: ${step.text}.`;
  const text = sentences[step.what](step.who, step.item, frame.channels[step.channel]);
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)}\u00a0ms` : `${(ms / 1000).toFixed(2)}\u00a0s`);
