/**
 * What really happened, as an answer to the question that was asked before. Each takes the trace and its last frame, and
 * returns the right option and a sentence in which the numbers are this run's own.
 */

import { framesOf } from "./frames.js";
import { milliseconds as ms } from "./words.js";

const thread = (trace, name) => trace.figures.threads[name] ?? { working_ms: 0, blocked_ms: 0, idle_ms: 0 };
const everybody = (trace) => Object.entries(trace.figures.threads);
const printed = (trace) => trace.steps.filter((step) => step.what === "prints").map((step) => step.text);
const nearest = (options, value) => options.reduce((best, each) => (Math.abs(each - value) < Math.abs(best - value) ? each : best));

const megabytes = (bytes) => `${Math.round(bytes / 1e6)}\u00a0MB`;

export const answers = {
  at_once(trace) {
    const { most_working: most, memory_bytes: memory, ended_ms: ended } = trace.figures;
    const jobs = trace.experiment.jobs;
    return {
      answer: most > jobs / 2 ? "all" : "few",
      because: `${most} of ${jobs} photos were being worked on at the same time. It took ${ms(ended)} and ${megabytes(memory)} of memory.`,
    };
  },

  on_the_way(trace) {
    let most = 0;
    for (const { channels, threads } of framesOf(trace)) {
      const held = Object.values(threads).filter((each) => each.worker && each.item !== null).length;
      most = Math.max(most, channels.jobs.buffered.length + held + channels.results.buffered.length);
    }
    return {
      answer: most <= 1 ? "one" : "all",
      because: `${most} at the most: main sends the next number only when it has received the double of the last one.`,
    };
  },

  in_order(trace) {
    if (trace.ended === "deadlock") return { answer: null, because: "No result came at all." };
    const came = trace.figures.results;
    const inOrder = came.every((item, index) => index === 0 || Number(came[index - 1]) < Number(item));
    return {
      answer: "not_always",
      because: `This time they came as ${came.join(", ")}. ${inOrder ? "In order, by chance: run it again. " : ""}Whoever is done first sends first.`,
    };
  },

  how_long(trace) {
    const { ended_ms: ended } = trace.figures;
    const { workers, jobs, length_ms: length } = trace.experiment;
    const usual = workers === 4 && jobs === 8 && length === 200;
    return {
      answer: String(nearest([1600, 800, 400], ended)),
      because: usual
        ? `It took ${ms(ended)}: each worker did ${Math.ceil(jobs / workers)} of the ${jobs} jobs, and all four waited at the same time.`
        : `You ran ${jobs} jobs of ${length} ms with ${workers} ${workers === 1 ? "worker" : "workers"}: it took ${ms(ended)}.`,
    };
  },

  bad_picture(trace) {
    const lines = printed(trace);
    const failed = lines.filter((line) => line.includes(" failed "));
    const made = lines.filter((line) => / \d+ ms /.test(line)).length;
    return {
      answer: failed.length && made ? "goes_on" : "dies",
      because: `${failed.length} failed, ${made} were made: a bad picture costs its own job, and its worker took the next one.`,
    };
  },

  buffer(trace) {
    if (trace.ended === "deadlock") return { answer: "deadlock", because: "Nothing moves any more." };
    const { experiment, figures } = trace;
    const blocked = thread(trace, "producer").blocked_ms;
    return {
      answer: blocked > 0.05 * figures.ended_ms ? "blocked" : "free",
      because: `All ${figures.jobs_done} jobs were done after ${ms(figures.ended_ms)}. With ${experiment.jobs_buffer} places the producer stood blocked for ${ms(blocked)} of that.`,
    };
  },

  mistake(trace) {
    const came = trace.figures.results.length;
    if (trace.ended !== "deadlock") return { answer: "fine", because: `All ${came} results came and the program ended: the channel was closed.` };
    return { answer: came ? "late" : "none", because: `${came} results came. Then all waited for ever.` };
  },

  law(trace) {
    const { jobs, workers, jobs_buffer: places, results_buffer: room } = trace.experiment;
    const most = workers + places + room;
    const sum = `${workers} workers + ${places} + ${room} places = ${most}, and there were ${jobs} jobs.`;
    if (trace.ended === "deadlock") return { answer: "deadlock", because: `${sum} It stood still for ever.` };
    const came = trace.figures.results.length;
    return { answer: "fine", because: `${sum} It ended after ${ms(trace.figures.ended_ms)}, and ${came} of ${jobs} results were collected.` };
  },

  crowd(trace) {
    const { jobs_done: done, ended_ms: ended, memory_bytes: memory } = trace.figures;
    const working = everybody(trace).reduce((sum, [, each]) => sum + each.working_ms, 0);
    const each = working / done;
    const alone = Number(sessionStorage.getItem("imgpool-photo-alone-ms")) || null;
    if (trace.experiment.workers === 1) sessionStorage.setItem("imgpool-photo-alone-ms", String(each));
    const compared = alone ? ` A worker that is alone needed ${ms(alone)}.` : " Run it with one worker to see what a worker needs that is alone.";
    return {
      answer: alone === null ? (trace.experiment.workers > 4 ? "more" : "same") : each > 1.3 * alone ? "more" : "same",
      because: `A worker was busy with one photo for ${ms(each)}; all ${done} took ${ms(ended)}, and ${megabytes(memory)}.${compared}`,
    };
  },

  twice(trace) {
    const { workers, kind } = trace.experiment;
    return {
      answer: kind === "compute" ? "same" : "half",
      because: `${workers} ${workers === 1 ? "worker" : "workers"}: ${ms(trace.figures.ended_ms)} for ${trace.figures.jobs_done} jobs. Compare it with your other runs below.`,
    };
  },

  policy(trace) {
    const { refused, dropped, most_working: most, ended_ms: ended, jobs_done: done } = trace.figures;
    const { jobs, workers } = trace.experiment;
    const own = thread(trace, "main");
    const rest = `${done} of ${jobs} jobs were done, after ${ms(ended)}.`;
    if (trace.experiment.program === "no_pool") return { answer: "all", because: `Up to ${most} ran at once. ${rest}` };
    if (refused) return { answer: "refused", because: `${refused} jobs were turned away at once. ${rest}` };
    if (dropped) return { answer: "dropped", because: `${dropped} older jobs gave up their place. ${rest}` };
    if (own.working_ms) return { answer: "caller", because: `The sender worked for ${ms(own.working_ms)} itself, and sent nothing meanwhile. ${rest}` };
    if (own.blocked_ms) return { answer: "blocked", because: `The sender stood blocked for ${ms(own.blocked_ms)}. ${rest}` };
    return { answer: null, because: `The channel was never full: ${workers} workers were fast enough. ${rest}` };
  },

  deadline(trace) {
    const good = printed(trace).filter((line) => / succeeded /.test(line)).length;
    return {
      answer: String(good),
      because: `${good} of ${trace.experiment.jobs} were done. The others found, at their next look, that their time was up, and stopped there.`,
    };
  },

  cancelled(trace) {
    const ended = (name) => printed(trace).some((line) => line.startsWith(name) && line.includes("ended:"));
    const goesOn = (name) => printed(trace).some((line) => line.startsWith(name) && line.includes("goes on"));
    return {
      answer: ended("thumbnail") && ended("server") ? "all" : ended("thumbnail") ? "child" : "none",
      because: `It printed that the thumbnail ${ended("thumbnail") ? "ended" : "goes on"}, and that the server ${goesOn("server") ? "goes on" : "ended"}: a child ends with its parent, not the other way round.`,
    };
  },

  life(trace) {
    const count = (pattern) => printed(trace).filter((line) => pattern.test(line)).length;
    const answered = count(/: answer for /);
    return {
      answer: String(answered),
      because: `${count(/ refused/)} were refused at once, ${count(/ skipped/)} was skipped because its client had gone, ${answered} were answered.`,
    };
  },
};

/** Says whether a guess was right: a sign, a word, and what happened. `guess` null: there was none. */
export function verdictOf(guess, { answer, because }) {
  if (guess === null || answer === null) return { right: null, text: `What happened: ${because}` };
  return guess === answer ? { right: true, text: `✓ Right. ${because}` } : { right: false, text: `✗ Not quite. ${because}` };
}
