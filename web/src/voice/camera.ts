// The camera and the screen as the browser gives them; a refusal is a sentence, not an exception.

/** Three encodings of one picture, each a quarter of the next: the server takes what somebody looks at. */
export const CAMERA_LAYERS: RTCRtpEncodingParameters[] = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** Text on a screen needs its pixels more than its frames. */
export const SCREEN_LAYERS: RTCRtpEncodingParameters[] = [{ maxBitrate: 4_000_000, maxFramerate: 30 }];

/** Without what is good for voices, and where the browser can leave it out, without the call itself. */
const SHARED = {
  video: { frameRate: { ideal: 30 } },
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 2, restrictOwnAudio: true },
  systemAudio: "include",
} as DisplayMediaStreamOptions;

export async function openCamera(): Promise<MediaStream | string> {
  if (navigator.mediaDevices === undefined) return "The browser gives the camera only to pages opened over HTTPS or from localhost.";
  try {
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
    const stream = await navigator.mediaDevices.getUserMedia({ video });
    return stream.getVideoTracks().length > 0 ? stream : "No camera was found.";
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError") return "The camera is blocked for this page.";
    if (name === "NotFoundError") return "No camera was found.";
    return "The camera could not be opened. Another program may use it.";
  }
}

/** What is shown, and what it sounds like, if the browser and the person share that too; `null` when they changed their mind. */
export async function openScreen(): Promise<MediaStream | string | null> {
  if (navigator.mediaDevices?.getDisplayMedia === undefined) return "This browser cannot share its screen.";
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia(SHARED);
    const [track] = stream.getVideoTracks();
    if (track === undefined) return "Nothing was shared.";
    track.contentHint = "detail";
    for (const sound of stream.getAudioTracks()) sound.contentHint = "music";
    return stream;
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotAllowedError") return null;
    return "The screen could not be shared.";
  }
}
