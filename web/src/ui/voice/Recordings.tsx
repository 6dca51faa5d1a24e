import { useEffect, useEffectEvent, useState } from "react";
import { sentence } from "../../api/error";
import type { Id, Recording, RecordingTrack } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, mayInChannel } from "../../state/select";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import dialog from "../guild/dialogs.module.css";
import { Button, IconButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { TrashIcon } from "../parts/icons";
import { useLoaded } from "../settings/useLoaded";
import { clockTime, fullTime } from "../time";
import styles from "./Recordings.module.css";

/** How often a list that shows a recording which runs or has just ended is read anew. */
const REFRESH_MS = 3_000;

/** Whether this user may record the channel, and hear what was recorded there. */
export function useMayRecord(channelId: Id): boolean {
  return useModel((model) => mayInChannel(model, channelId, Permission.manageChannels) && mayInChannel(model, channelId, Permission.connect));
}

/** Says that a channel is recorded, where there is little room. Nothing if it is not. */
export function RecordingBadge({ channelId }: { channelId: Id }) {
  const recording = useModel((model) => model.channels[channelId]?.recording);
  if (recording === undefined) return null;
  return (
    <span className={styles.badge} title="This channel is being recorded" data-testid="recording-badge">
      <span className={styles.dot} aria-hidden="true" />
      REC
      <span className="visually-hidden">, being recorded</span>
    </span>
  );
}

/** Says in the room itself that it is recorded, since when and by whom, before one joins and after. */
export function RecordingNotice({ guildId, channelId }: { guildId: Id; channelId: Id }) {
  const recording = useModel((model) => model.channels[channelId]?.recording);
  const name = useModel((model) => (recording === undefined ? "" : displayName(model, guildId, recording.user_id)));
  // The region is there before its text, so that screen readers say it.
  return (
    <div role="status" className={styles.notice} data-recording={recording !== undefined} data-testid="recording-notice">
      {recording !== undefined && (
        <>
          <span className={styles.dot} aria-hidden="true" />
          <p>
            <strong>This channel is being recorded.</strong> {name} began at {clockTime(Date.parse(recording.started_at))}. Whatever is said{recording.video && " or shown"} here is kept.
          </p>
        </>
      )}
    </div>
  );
}

/** The recordings of a voice channel: begun and stopped here, heard, saved and deleted. */
export function RecordingsDialog({ guildId, channelId, onClose }: { guildId: Id; channelId: Id; onClose: () => void }) {
  const app = useApp();
  const running = useModel((model) => model.channels[channelId]?.recording?.id ?? null);
  const { value: recordings, failure, reload } = useLoaded(() => app.recordings(channelId));
  const [problem, setProblem] = useState<string | null>(null);
  const [withVideo, setWithVideo] = useState(false);
  const isChanging = recordings?.some(({ state }) => state === "recording" || state === "ending") ?? false;
  const refresh = useEffectEvent(() => void reload());
  useEffect(() => {
    if (!isChanging && running === null) return;
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, [isChanging, running]);
  const run = async (request: () => Promise<void>) => {
    try {
      await request();
      setProblem(null);
      await reload();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  return (
    <Dialog isWide title="Recordings" onClose={onClose}>
      <div className={dialog.form}>
        <p className={dialog.note}>
          Everyone who sees this channel sees that it is recorded. Each voice, camera and screen is a file of its own, from the first word or picture on.
        </p>
        {running === null ? (
          <>
            <label className={styles.choice}>
              <input type="checkbox" checked={withVideo} data-testid="recording-video" onChange={(event) => setWithVideo(event.target.checked)} />
              Record cameras and screens, too
            </label>
            <Button data-testid="recording-start" onClick={() => void run(() => app.startRecording(channelId, withVideo))}>
              Start recording
            </Button>
          </>
        ) : (
          <Button look="danger" data-testid="recording-stop" onClick={() => void run(() => app.stopRecording(channelId, running))}>
            Stop recording
          </Button>
        )}
        <Failure text={problem ?? failure} />
        {recordings?.length === 0 && <p>Nothing was recorded here yet.</p>}
        <ul className={styles.list}>
          {recordings?.map((recording) => (
            <Entry key={recording.id} guildId={guildId} recording={recording} onDelete={() => void run(() => app.deleteRecording(channelId, recording.id))} />
          ))}
        </ul>
      </div>
    </Dialog>
  );
}

const STATES: Record<Recording["state"], string> = {
  recording: "running",
  ending: "ending",
  done: "complete",
  interrupted: "interrupted: the voice server was lost; what was stored is here",
};

function Entry({ guildId, recording, onDelete }: { guildId: Id; recording: Recording; onDelete: () => void }) {
  const by = useModel((model) => displayName(model, guildId, recording.user_id));
  const hasEnded = recording.state === "done" || recording.state === "interrupted";
  const expires = recording.expires_at === null ? "" : `, deleted ${fullTime(Date.parse(recording.expires_at))}`;
  return (
    <li data-testid="recording" data-state={recording.state}>
      <div className={styles.head}>
        <span>
          <strong>{fullTime(Date.parse(recording.started_at))}</strong>
          <small>
            by {by}, {STATES[recording.state]}
            {expires}
          </small>
        </span>
        {hasEnded && (
          <IconButton label="Delete this recording" data-testid="recording-delete" onClick={onDelete}>
            <TrashIcon />
          </IconButton>
        )}
      </div>
      {recording.tracks.length === 0 && <p>{hasEnded ? "Nobody said or showed anything." : "Nothing is stored yet."}</p>}
      <ul>
        {recording.tracks.map((track) => (
          <Track key={`${track.kind}-${track.user_id}-${track.start_ms}`} guildId={guildId} track={track} hasEnded={hasEnded} />
        ))}
      </ul>
    </li>
  );
}

const WHAT: Record<RecordingTrack["kind"], string> = { voice: "", camera: ", camera", screen: ", screen" };

function Track({ guildId, track, hasEnded }: { guildId: Id; track: RecordingTrack; hasEnded: boolean }) {
  const name = useModel((model) => displayName(model, guildId, track.user_id));
  // Every answer has a new link to the same file; what plays keeps its own.
  const [url] = useState(track.url);
  return (
    <li className={styles.track} data-testid="recording-track" data-kind={track.kind}>
      <span>
        {name}
        {WHAT[track.kind]}
        <small>
          from {duration(track.start_ms)}, {duration(track.length_ms)} long{track.lost_packets > 0 && `, ${track.lost_packets} packets lost`}
        </small>
      </span>
      {/* Captions of what people say do not exist. */}
      {/* oxlint-disable-next-line jsx-a11y/media-has-caption */}
      {hasEnded && track.kind === "voice" && <audio controls preload="none" src={url} aria-label={`What ${name} said`} />}
      {/* oxlint-disable-next-line jsx-a11y/media-has-caption */}
      {hasEnded && track.kind !== "voice" && <video controls preload="metadata" src={url} aria-label={`What ${name} showed${WHAT[track.kind]}`} data-testid="recording-picture" />}
      <a href={track.url} download={track.filename} data-testid="recording-download">
        Save
      </a>
    </li>
  );
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, at) => (at === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}
