import type { Channel, Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { displayName, isUnread, mayInChannel, occupants } from "../../state/select";
import { useApp, useModel, useVoice } from "../context";
import { Avatar } from "../parts/Avatar";
import { Badge } from "../parts/Badge";
import { ChannelIcon, HeadphonesOffIcon, MicrophoneOffIcon, SpeakerIcon } from "../parts/icons";
import { RecordingBadge } from "../voice/Recordings";
import styles from "./ChannelItem.module.css";

interface Props {
  channel: Channel;
  isOpen: boolean;
  onOpen: () => void;
}

export function ChannelItem({ channel, isOpen, onOpen }: Props) {
  const app = useApp();
  const isChannelUnread = useModel((model) => isUnread(model, channel.id));
  const mentions = useModel((model) => model.readStates[channel.id]?.mentions ?? 0);
  return (
    <li>
      <button
        type="button"
        className={styles.channel}
        data-unread={isChannelUnread}
        aria-current={isOpen ? "page" : undefined}
        aria-label={isChannelUnread ? `${channel.name}, unread` : channel.name}
        data-testid={`channel-item-${channel.name}`}
        onClick={() => {
          app.openChannel(channel.guild_id, channel.id);
          onOpen();
        }}
      >
        <ChannelIcon type={channel.type} />
        <span className={styles.name}>{channel.name}</span>
        <Badge count={mentions} />
      </button>
    </li>
  );
}

/** A click opens the room and joins it; who is in it is listed below. */
export function VoiceChannelItem({ channel, isOpen, onOpen }: Props) {
  const app = useApp();
  const inside = useModel((model) => occupants(model, channel.guild_id, channel.id));
  const mayConnect = useModel((model) => mayInChannel(model, channel.id, Permission.connect));
  const isMine = useVoice((voice) => voice.place?.channelId === channel.id && voice.status !== "failed");
  return (
    <li>
      <button
        type="button"
        className={styles.channel}
        data-joined={isMine}
        aria-current={isOpen ? "page" : undefined}
        aria-label={(isMine ? `${channel.name}, voice, joined` : mayConnect ? `Join ${channel.name}, voice` : `${channel.name}, voice, closed to you`) + (channel.recording === undefined ? "" : ", being recorded")}
        data-testid={`voice-join-${channel.name}`}
        onClick={() => {
          app.openChannel(channel.guild_id, channel.id);
          if (!isMine && mayConnect) app.voice.join({ guildId: channel.guild_id, channelId: channel.id });
          onOpen();
        }}
      >
        <SpeakerIcon size={18} />
        <span className={styles.name}>{channel.name}</span>
        <RecordingBadge channelId={channel.id} />
      </button>
      {inside.length > 0 && (
        <ul className={styles.occupants} aria-label={`In ${channel.name}`}>
          {inside.map((state) => (
            <Occupant
              key={state.user_id}
              guildId={channel.guild_id}
              userId={state.user_id}
              isMuted={state.self_mute || state.mute || state.suppress}
              isDeafened={state.self_deaf || state.deaf}
            />
          ))}
        </ul>
      )}
    </li>
  );
}

function Occupant({ guildId, userId, isMuted, isDeafened }: { guildId: Id; userId: Id; isMuted: boolean; isDeafened: boolean }) {
  const name = useModel((model) => displayName(model, guildId, userId));
  const hash = useModel((model) => model.users[userId]?.avatar ?? null);
  const username = useModel((model) => model.users[userId]?.username ?? userId);
  const isSpeaking = useVoice((voice) => voice.speaking[userId] === true);
  return (
    <li className={styles.occupant} data-testid={`participant-${username}`} data-user={userId} data-speaking={isSpeaking} data-muted={isMuted}>
      <Avatar id={userId} name={name} hash={hash} size={26} isSpeaking={isSpeaking} />
      <span className={styles.name}>{name}</span>
      {isSpeaking && <span className="visually-hidden">speaking</span>}
      {isMuted && (
        <span className={styles.mark} title="Muted">
          <MicrophoneOffIcon size={16} />
          <span className="visually-hidden">muted</span>
        </span>
      )}
      {isDeafened && (
        <span className={styles.mark} title="Deafened">
          <HeadphonesOffIcon size={16} />
          <span className="visually-hidden">deafened</span>
        </span>
      )}
    </li>
  );
}
