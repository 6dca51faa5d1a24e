import { useEffect, useState } from "react";
import { sentence } from "../../api/error";
import type { Invite } from "../../api/types";
import { isUnknownInvite } from "../../app";
import { useApp, useModel, usePage } from "../context";
import { Brand } from "../parts/Brand";
import { Button } from "../parts/Button";
import { GuildBanner } from "../parts/GuildBanner";
import { useSubmit } from "../parts/useSubmit";
import { AuthScreen, Failure } from "./AuthScreen";
import styles from "./auth.module.css";

type Loaded = { invite: Invite } | { failure: string } | null;

/** /invite/CODE: shows the guild, asks who one is, and joins. */
export function InviteScreen({ code }: { code: string }) {
  const app = useApp();
  const isLoggedIn = usePage((page) => page.token !== null);
  const [loaded, setLoaded] = useState<Loaded>(null);
  useEffect(() => {
    let isCurrent = true;
    app.invite(code).then(
      (invite) => isCurrent && setLoaded({ invite }),
      (error: unknown) =>
        isCurrent && setLoaded({ failure: isUnknownInvite(error) ? "This invite is not valid any more." : sentence(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [app, code]);
  if (!isLoggedIn && loaded !== null) return "invite" in loaded ? <AuthScreen invite={loaded.invite} /> : <AuthScreen invite={null} note={loaded.failure} />;
  return (
    <main className={styles.screen}>
      <section className={styles.card}>
        <Brand />
        {loaded === null && <p role="status">Reading the invite…</p>}
        {loaded !== null && "failure" in loaded && (
          <div className={styles.form}>
            <Failure text={loaded.failure} />
            <Button look="quiet" onClick={() => app.go({ name: "home" })}>
              To my guilds
            </Button>
          </div>
        )}
        {loaded !== null && "invite" in loaded && <Accept invite={loaded.invite} />}
      </section>
    </main>
  );
}

function Accept({ invite }: { invite: Invite }) {
  const app = useApp();
  const isMember = useModel((model) => model.guilds[invite.guild.id] !== undefined);
  const form = useSubmit([], () => app.acceptInvite(invite.code));
  const counts = [
    invite.approximate_member_count === undefined ? null : people(invite.approximate_member_count),
    invite.approximate_presence_count === undefined ? null : `${invite.approximate_presence_count} online`,
  ];
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <div className={styles.guild}>
        <GuildBanner id={invite.guild.id} name={invite.guild.name} icon={invite.guild.icon ?? null} size={72} />
        <h1>{invite.guild.name}</h1>
        <p>{counts.filter((text) => text !== null).join(" · ")}</p>
      </div>
      <Failure text={form.failure} />
      {isMember ? (
        <Button data-testid="invite-open" onClick={() => app.openGuild(invite.guild.id)}>
          You are a member: open it
        </Button>
      ) : (
        <Button type="submit" disabled={form.isBusy} data-testid="invite-accept">
          Join {invite.guild.name}
        </Button>
      )}
      <Button look="quiet" onClick={() => app.go({ name: "home" })}>
        Not now
      </Button>
    </form>
  );
}

function people(count: number): string {
  return count === 1 ? "1 member" : `${count} members`;
}
