// The Web Audio shell: one context, level meters on streams, and the microphone.

/** 85 ms at 48 kHz: longer than the interval of measuring, so that no syllable falls between two measurements. */
const METER_SAMPLES = 4096;

export interface Meter {
  /** RMS of the last 85 ms, 0..1 of full scale. */
  level(): number;
  stop(): void;
}

let shared: AudioContext | null = null;

/** Call inside a click: browsers start audio only after a gesture. */
export function unlockAudio(): void {
  shared ??= new AudioContext();
  if (shared.state === "suspended") void shared.resume();
}

export function isAudioRunning(): boolean {
  return shared?.state === "running";
}

export function meter(track: MediaStreamTrack): Meter {
  shared ??= new AudioContext();
  const source = shared.createMediaStreamSource(new MediaStream([track]));
  const analyser = shared.createAnalyser();
  analyser.fftSize = METER_SAMPLES;
  source.connect(analyser);
  const samples = new Float32Array(METER_SAMPLES);
  return {
    level() {
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      return Math.sqrt(sum / METER_SAMPLES);
    },
    stop() {
      source.disconnect();
    },
  };
}

/** Asks for the microphone; a refusal is a sentence, not an exception: one can listen without. */
export async function openMicrophone(isProcessed: boolean): Promise<MediaStreamTrack | string> {
  if (navigator.mediaDevices === undefined) return "The browser gives the microphone only to pages opened over HTTPS or from localhost.";
  try {
    const audio = { echoCancellation: isProcessed, noiseSuppression: isProcessed, autoGainControl: isProcessed, channelCount: 1 };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return stream.getAudioTracks()[0] ?? "No microphone was found.";
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError") return "The microphone is blocked for this page. You can listen, but nobody hears you.";
    if (name === "NotFoundError") return "No microphone was found. You can listen, but nobody hears you.";
    return "The microphone could not be opened. You can listen, but nobody hears you.";
  }
}
