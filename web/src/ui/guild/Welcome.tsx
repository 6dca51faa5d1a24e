import { useState } from "react";
import { useModel } from "../context";
import { Mark } from "../parts/Brand";
import { Button } from "../parts/Button";
import { CreateGuildDialog, JoinGuildDialog } from "./dialogs";
import styles from "./Welcome.module.css";

/** Home, and the answer to an address that leads nowhere. */
export function Welcome({ isMissing }: { isMissing: boolean }) {
  const name = useModel((model) => model.me?.global_name ?? model.me?.username ?? "");
  const hasGuilds = useModel((model) => model.guildOrder.length > 0);
  const [dialog, setDialog] = useState<"create" | "join" | null>(null);
  const close = () => setDialog(null);
  return (
    <main className={styles.welcome}>
      <Mark size={72} />
      <h1>{isMissing ? "Nothing is here" : `Good to see you, ${name}`}</h1>
      <p>
        {isMissing
          ? "You are not in this guild, or it is gone."
          : hasGuilds
            ? "Pick one of your guilds, or start another."
            : "A guild is a place for your people: channels to write in, rooms to talk in."}
      </p>
      <div>
        <Button onClick={() => setDialog("create")} data-testid="welcome-create">
          Create a guild
        </Button>
        <Button look="quiet" onClick={() => setDialog("join")} data-testid="welcome-join">
          Join by invite
        </Button>
      </div>
      {dialog === "create" && <CreateGuildDialog onClose={close} />}
      {dialog === "join" && <JoinGuildDialog onClose={close} />}
    </main>
  );
}
