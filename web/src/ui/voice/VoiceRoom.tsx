import { useState } from "react";
import type { Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, mayInChannel, occupants } from "../../state/select";
import { ChannelHeader } from "../chat/ChannelHeader";
import { useApp, useModel, useVoice } from "../context";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import {
  CameraIcon,
  CameraOffIcon,
  HeadphonesIcon,
  HeadphonesOffIcon,
  LeaveCallIcon,
  MicrophoneIcon,
  MicrophoneOffIcon,
  ScreenIcon,
  ScreenOffIcon,
  SpeakerIcon,
} from "../parts/icons";
import { CODECS, isCodec } from "../../voice/codecs";
import type { VideoSource } from "../../voice/protocol";
import { limitText, qualityText } from "../../voice/quality";
import { type VideoKey, videoKey } from "../../voice/videos";
import type { MembersToggle } from "../Shell";
import { RecordingNotice } from "./Recordings";
import { statusText } from "./status";
import { OthersVideo, OwnVideo } from "./VideoTile";
import styles from "./VoiceRoom.module.css";

interface Props {
  guildId: Id;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

/** A voice channel on the whole stage: who is in it, who speaks, and the controls. */
export function VoiceRoom({ guildId, channelId, members, onBack }: Props) {
  const app = useApp();
  const name = useModel((model) => model.channels[channelId]?.name ?? "");
  const inside = useModel((model) => occupants(model, guildId, channelId));
  const mayConnect = useModel((model) => mayInChannel(model, channelId, Permission.connect));
  const isHere = useVoice((voice) => voice.place?.channelId === channelId && voice.status !== "failed");
  const me = useModel((model) => model.me?.id ?? null);
  const screens = useVoice((voice) => (isHere ? inside.filter(({ user_id: user }) => sharesScreen(voice, user, me)).map(({ user_id }) => user_id) : []));
  const [focus, setFocus] = useState<VideoKey | null>(null);
  const tiles: { userId: Id; source: VideoSource }[] = [
    ...screens.map((userId) => ({ userId, source: "screen" as const })),
    ...inside.map(({ user_id: userId }) => ({ userId, source: "camera" as const })),
  ];
  const isFocused = (tile: { userId: Id; source: VideoSource }) => focus === videoKey(tile.userId, tile.source);
  const hasFocus = tiles.some(isFocused);
  const status = useVoice((voice) => voice.status);
  return (
    <main className={styles.room}>
      <ChannelHeader guildId={guildId} channelId={channelId} members={members} onBack={onBack} />
      <RecordingNotice guildId={guildId} channelId={channelId} />
      {inside.length === 0 ? (
        <div className={styles.empty}>
          <SpeakerIcon size={56} />
          <h2>{name}</h2>
          <p>Nobody is here yet.</p>
        </div>
      ) : (
        <ul className={styles.stage} aria-label={`In ${name}`} data-focus={hasFocus}>
          {tiles.map((tile) => {
            const state = inside.find((each) => each.user_id === tile.userId);
            return (
              <Tile
                key={videoKey(tile.userId, tile.source)}
                guildId={guildId}
                userId={tile.userId}
                source={tile.source}
                isHere={isHere}
                isMuted={state !== undefined && (state.self_mute || state.mute || state.suppress)}
                isDeafened={state !== undefined && (state.self_deaf || state.deaf)}
                isFocused={isFocused(tile)}
                onFocus={() => setFocus(isFocused(tile) ? null : videoKey(tile.userId, tile.source))}
              />
            );
          })}
        </ul>
      )}
      <footer className={styles.controls}>
        {isHere ? (
          <Controls channelId={channelId} statusLine={status === "connected" ? null : statusText(status)} />
        ) : !mayConnect ? (
          <p>This room is closed to you.</p>
        ) : (
          <Button data-testid="room-join" onClick={() => app.voice.join({ guildId, channelId })}>
            Join {name}
          </Button>
        )}
      </footer>
    </main>
  );
}

function sharesScreen(voice: { videos: Readonly<Record<Id, readonly VideoSource[]>>; own: Readonly<Record<VideoSource, MediaStream | null>> }, user: Id, me: Id | null): boolean {
  return user === me ? voice.own.screen !== null : voice.videos[user]?.includes("screen") === true;
}

interface TileProps {
  guildId: Id;
  userId: Id;
  source: VideoSource;
  /** Whether this page is in the call, and so can see. */
  isHere: boolean;
  isMuted: boolean;
  isDeafened: boolean;
  isFocused: boolean;
  onFocus: () => void;
}

function Tile({ guildId, userId, source, isHere, isMuted, isDeafened, isFocused, onFocus }: TileProps) {
  const name = useModel((model) => displayName(model, guildId, userId));
  const hash = useModel((model) => model.users[userId]?.avatar ?? null);
  const username = useModel((model) => model.users[userId]?.username ?? userId);
  const isSpeaking = useVoice((voice) => voice.speaking[userId] === true) && source === "camera";
  const isMe = useModel((model) => model.me?.id === userId);
  const picture = source === "camera" ? <Avatar id={userId} name={name} hash={hash} size={96} isSpeaking={isSpeaking} /> : <ScreenIcon size={56} />;
  const label = source === "camera" ? name : `${name}'s screen`;
  return (
    <li
      className={styles.tile}
      data-speaking={isSpeaking}
      data-focused={isFocused}
      data-testid={source === "camera" ? `tile-${username}` : `screen-${username}`}
    >
      {!isHere ? (
        picture
      ) : isMe ? (
        <OwnVideo source={source}>{picture}</OwnVideo>
      ) : (
        <OthersVideo userId={userId} source={source} isFocused={isFocused}>
          {picture}
        </OthersVideo>
      )}
      <button
        type="button"
        className={styles.focus}
        aria-pressed={isFocused}
        aria-label={isFocused ? `Show ${label} among the others` : `Show ${label} large`}
        data-testid={`focus-${source}-${username}`}
        onClick={onFocus}
      />
      {source === "screen" && <SoundVolume userId={userId} username={username} label={label} />}
      <span className={styles.label}>
        {source === "screen" && <ScreenIcon size={16} />}
        {isMuted && source === "camera" && <MicrophoneOffIcon size={16} />}
        {isDeafened && source === "camera" && <HeadphonesOffIcon size={16} />}
        <span>{label}</span>
        <span className="visually-hidden">{[isSpeaking && "speaking", isMuted && "muted", isDeafened && "deafened"].filter(Boolean).join(", ")}</span>
      </span>
    </li>
  );
}

/** How loud a screen is, while it has a sound that this page hears. */
function SoundVolume({ userId, username, label }: { userId: Id; username: string; label: string }) {
  const app = useApp();
  const volume = useVoice((voice) => voice.sounds[userId] ?? null);
  if (volume === null) return null;
  return (
    <label className={styles.volume}>
      {volume === 0 ? <HeadphonesOffIcon size={16} /> : <SpeakerIcon size={16} />}
      <input
        type="range"
        min={0}
        max={1}
        step={0.05}
        value={volume}
        aria-label={`Volume of ${label}`}
        data-testid={`volume-${username}`}
        onChange={(event) => app.voice.setVolume(userId, event.target.valueAsNumber)}
      />
    </label>
  );
}

function Controls({ channelId, statusLine }: { channelId: Id; statusLine: string | null }) {
  const app = useApp();
  const mayStream = useModel((model) => mayInChannel(model, channelId, Permission.stream));
  const isFilming = useVoice((voice) => voice.own.camera !== null);
  const isSharing = useVoice((voice) => voice.own.screen !== null);
  const videoProblem = useVoice((voice) => voice.videoProblem);
  const quality = useVoice((voice) => (voice.quality === null ? null : qualityText(voice.quality)));
  const limit = useVoice((voice) => limitText(voice.limit));
  const isMuted = useVoice((voice) => voice.isMuted);
  const isDeafened = useVoice((voice) => voice.isDeafened);
  const isProcessed = useVoice((voice) => voice.isProcessed);
  const codec = useVoice((voice) => voice.codec);
  const instead = useVoice((voice) => voice.codecInstead);
  return (
    <>
      {statusLine !== null && <p role="status">{statusLine}</p>}
      <div className={styles.buttons}>
        <Button look="quiet" aria-pressed={isMuted} data-testid="room-mute" onClick={() => app.voice.setMuted(!isMuted)}>
          {isMuted || isDeafened ? <MicrophoneOffIcon /> : <MicrophoneIcon />}
          {isMuted ? "Unmute" : "Mute"}
        </Button>
        <Button look="quiet" aria-pressed={isDeafened} data-testid="room-deafen" onClick={() => app.voice.setDeafened(!isDeafened)}>
          {isDeafened ? <HeadphonesOffIcon /> : <HeadphonesIcon />}
          {isDeafened ? "Undeafen" : "Deafen"}
        </Button>
        <Button look="quiet" aria-pressed={isFilming} className={styles.video} disabled={!mayStream} data-testid="room-camera" onClick={() => void app.voice.setVideo("camera", !isFilming)}>
          {isFilming ? <CameraOffIcon /> : <CameraIcon />}
          {isFilming ? "Camera off" : "Camera"}
        </Button>
        <Button look="quiet" aria-pressed={isSharing} className={styles.video} disabled={!mayStream} data-testid="room-screen" onClick={() => void app.voice.setVideo("screen", !isSharing)}>
          {isSharing ? <ScreenOffIcon /> : <ScreenIcon />}
          {isSharing ? "Stop sharing" : "Share screen"}
        </Button>
        <Button look="danger" data-testid="room-leave" onClick={() => app.voice.leave()}>
          <LeaveCallIcon />
          Leave
        </Button>
      </div>
      {videoProblem !== null && <p role="alert">{videoProblem}</p>}
      {limit !== null && <p data-testid="video-limit">{limit}</p>}
      {quality !== null && (
        <span className={styles.quality} data-testid="connection-quality">
          {quality}
        </span>
      )}
      <label className={styles.processing}>
        <input type="checkbox" checked={isProcessed} data-testid="voice-processing" onChange={(event) => void app.voice.setProcessed(event.target.checked)} />
        Filter echo and noise of my microphone
      </label>
      <label className={styles.processing}>
        Codec of my video
        <select value={codec} data-testid="video-codec" onChange={(event) => app.voice.chooseCodec(isCodec(event.target.value) ? event.target.value : "automatic")}>
          <option value="automatic">Automatic</option>
          {CODECS.map((name) => (
            <option key={name} value={name}>
              {name === "H264" ? "H.264" : name}
            </option>
          ))}
        </select>
      </label>
      {instead !== null && <p data-testid="video-codec-instead">Not everybody here can show this codec: {instead} is sent instead.</p>}
    </>
  );
}
