import type { Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, mayInChannel, occupants } from "../../state/select";
import { ChannelHeader } from "../chat/ChannelHeader";
import { useApp, useModel, useVoice } from "../context";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import { HeadphonesIcon, HeadphonesOffIcon, LeaveCallIcon, MicrophoneIcon, MicrophoneOffIcon, SpeakerIcon } from "../parts/icons";
import type { MembersToggle } from "../Shell";
import { statusText } from "./status";
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
  const status = useVoice((voice) => voice.status);
  return (
    <main className={styles.room}>
      <ChannelHeader guildId={guildId} channelId={channelId} members={members} onBack={onBack} />
      {inside.length === 0 ? (
        <div className={styles.empty}>
          <SpeakerIcon size={56} />
          <h2>{name}</h2>
          <p>Nobody is here yet.</p>
        </div>
      ) : (
        <ul className={styles.stage} aria-label={`In ${name}`}>
          {inside.map((state) => (
            <Tile
              key={state.user_id}
              guildId={guildId}
              userId={state.user_id}
              isMuted={state.self_mute || state.mute || state.suppress}
              isDeafened={state.self_deaf || state.deaf}
            />
          ))}
        </ul>
      )}
      <footer className={styles.controls}>
        {isHere ? (
          <Controls statusLine={status === "connected" ? null : statusText(status)} />
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

function Tile({ guildId, userId, isMuted, isDeafened }: { guildId: Id; userId: Id; isMuted: boolean; isDeafened: boolean }) {
  const name = useModel((model) => displayName(model, guildId, userId));
  const hash = useModel((model) => model.users[userId]?.avatar ?? null);
  const username = useModel((model) => model.users[userId]?.username ?? userId);
  const isSpeaking = useVoice((voice) => voice.speaking[userId] === true);
  return (
    <li className={styles.tile} data-speaking={isSpeaking} data-testid={`tile-${username}`}>
      <Avatar id={userId} name={name} hash={hash} size={96} isSpeaking={isSpeaking} />
      <span className={styles.label}>
        {isMuted && <MicrophoneOffIcon size={16} />}
        {isDeafened && <HeadphonesOffIcon size={16} />}
        <span>{name}</span>
        <span className="visually-hidden">{[isSpeaking && "speaking", isMuted && "muted", isDeafened && "deafened"].filter(Boolean).join(", ")}</span>
      </span>
    </li>
  );
}

function Controls({ statusLine }: { statusLine: string | null }) {
  const app = useApp();
  const isMuted = useVoice((voice) => voice.isMuted);
  const isDeafened = useVoice((voice) => voice.isDeafened);
  const isProcessed = useVoice((voice) => voice.isProcessed);
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
        <Button look="danger" data-testid="room-leave" onClick={() => app.voice.leave()}>
          <LeaveCallIcon />
          Leave
        </Button>
      </div>
      <label className={styles.processing}>
        <input type="checkbox" checked={isProcessed} data-testid="voice-processing" onChange={(event) => void app.voice.setProcessed(event.target.checked)} />
        Filter echo and noise of my microphone
      </label>
    </>
  );
}
