import type { Proposal } from "../../state/completion";
import { useModel } from "../context";
import { Avatar } from "../parts/Avatar";
import styles from "./Completions.module.css";
import { Emoji } from "./Emoji";

interface Props {
  proposals: readonly Proposal[];
  /** Which one Enter takes. */
  active: number;
  onChoose: (proposal: Proposal) => void;
}

/** What fits the name that is being written. */
export function Completions({ proposals, active, onChoose }: Props) {
  return (
    <ul className={styles.list} aria-label="Proposals" data-testid="completions">
      {proposals.map((proposal, at) => (
        <li key={proposal.key}>
          {/* The field keeps the focus: a press chooses without leaving it. */}
          <button type="button" data-active={at === active} data-testid="completion" data-label={proposal.label} onMouseDown={(event) => event.preventDefault()} onClick={() => onChoose(proposal)}>
            {proposal.emoji !== undefined && <Emoji emoji={proposal.emoji} />}
            {proposal.userId !== undefined && <Face userId={proposal.userId} name={proposal.label.slice(1)} />}
            <strong className={styles.label}>{proposal.emoji?.id === null ? `:${proposal.note.split(" ")[0] ?? ""}:` : proposal.label}</strong>
            <span className={styles.note}>{proposal.emoji === undefined ? proposal.note : ""}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Face({ userId, name }: { userId: string; name: string }) {
  const hash = useModel((model) => model.users[userId]?.avatar ?? null);
  return <Avatar id={userId} name={name} hash={hash} size={22} />;
}
