import { useApp, useModel, useVoice } from "../context";
import { IconButton } from "../parts/Button";
import { LeaveCallIcon } from "../parts/icons";
import { RecordingBadge } from "./Recordings";
import { statusText } from "./status";
import styles from "./VoicePanel.module.css";

/** The running call, wherever in the page one is. */
export function VoicePanel() {
  const app = useApp();
  const status = useVoice((voice) => voice.status);
  const place = useVoice((voice) => voice.place);
  const failure = useVoice((voice) => voice.failure);
  const problem = useVoice((voice) => voice.microphoneProblem);
  const where = useModel((model) =>
    place === null ? "" : `${model.channels[place.channelId]?.name ?? "Voice"} in ${model.guilds[place.guildId]?.name ?? "a guild"}`,
  );
  if (place === null) return null;
  return (
    <section className={styles.panel} aria-label="Voice" data-status={status}>
      <div className={styles.row}>
        <div className={styles.text}>
          <strong role="status" data-testid="voice-status" data-status={status}>
            {statusText(status)}
          </strong>
          <button type="button" onClick={() => app.openChannel(place.guildId, place.channelId)}>
            {where}
          </button>
        </div>
        <RecordingBadge channelId={place.channelId} />
        <IconButton label={status === "failed" ? "Dismiss" : "Leave the call"} className={styles.leave} data-testid="voice-leave" onClick={() => app.voice.leave()}>
          <LeaveCallIcon size={22} />
        </IconButton>
      </div>
      {failure !== null && <p role="alert">{failure}</p>}
      {problem !== null && status !== "failed" && <p role="alert">{problem}</p>}
    </section>
  );
}
