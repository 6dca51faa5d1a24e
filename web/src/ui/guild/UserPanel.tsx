import { useState } from "react";
import { useApp, useModel, useVoice } from "../context";
import { Avatar } from "../parts/Avatar";
import { IconButton } from "../parts/Button";
import { GearIcon, HeadphonesIcon, HeadphonesOffIcon, MicrophoneIcon, MicrophoneOffIcon } from "../parts/icons";
import { UserSettings } from "../settings/UserSettings";
import styles from "./UserPanel.module.css";

/** Who one is, the two switches that hold for every call, and the way to one's account. */
export function UserPanel() {
  const app = useApp();
  const me = useModel((model) => model.me);
  const gateway = useModel((model) => model.gateway);
  const isMuted = useVoice((voice) => voice.isMuted);
  const isDeafened = useVoice((voice) => voice.isDeafened);
  const [hasSettings, setSettings] = useState(false);
  if (me === null) return null;
  const name = me.global_name ?? me.username;
  return (
    <section className={styles.panel} aria-label="You">
      <Avatar id={me.id} name={name} hash={me.avatar ?? null} size={36} status={gateway === "ready" ? "online" : "offline"} />
      <div className={styles.who} data-testid="user-panel">
        <strong title={name}>{name}</strong>
        <span>{gateway === "ready" ? "Online" : "Offline"}</span>
      </div>
      <IconButton label={isMuted ? "Unmute" : "Mute"} isOn={isMuted} data-testid="voice-mute" onClick={() => app.voice.setMuted(!isMuted)}>
        {isMuted || isDeafened ? <MicrophoneOffIcon /> : <MicrophoneIcon />}
      </IconButton>
      <IconButton label={isDeafened ? "Undeafen" : "Deafen"} isOn={isDeafened} data-testid="voice-deafen" onClick={() => app.voice.setDeafened(!isDeafened)}>
        {isDeafened ? <HeadphonesOffIcon /> : <HeadphonesIcon />}
      </IconButton>
      <IconButton label="Your account" data-testid="user-settings" onClick={() => setSettings(true)}>
        <GearIcon />
      </IconButton>
      {hasSettings && <UserSettings onClose={() => setSettings(false)} />}
    </section>
  );
}
