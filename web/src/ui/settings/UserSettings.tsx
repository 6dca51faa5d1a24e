import { useState } from "react";
import { sentence } from "../../api/error";
import { Failure } from "../auth/AuthScreen";
import { useApp, useModel } from "../context";
import styles from "../guild/dialogs.module.css";
import { Avatar } from "../parts/Avatar";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { LogoutIcon } from "../parts/icons";
import { useSubmit } from "../parts/useSubmit";
import { chooseTheme, chosenTheme, type Theme, THEMES } from "../theme";
import { fullTime } from "../time";
import { PICTURE_TYPES, readPicture } from "./picture";
import own from "./settings.module.css";
import { Tabs } from "./Tabs";
import { useLoaded } from "./useLoaded";

/** One's own account: face, password, and where one is logged in. */
export function UserSettings({ onClose }: { onClose: () => void }) {
  const app = useApp();
  return (
    <Dialog isWide title="Your account" onClose={onClose}>
      <Tabs
        tabs={[
          { id: "profile", title: "Profile", content: <Profile /> },
          { id: "password", title: "Password", content: <Password /> },
          { id: "looks", title: "Looks", content: <Looks /> },
          { id: "sessions", title: "Logged in", content: <Sessions /> },
        ]}
      />
      <div className={own.foot}>
        <Button look="quiet" data-testid="logout" onClick={() => void app.logout()}>
          <LogoutIcon size={18} /> Log out
        </Button>
      </div>
    </Dialog>
  );
}

const THEME_NAMES: Record<Theme, string> = { dark: "Dark", light: "Light", system: "As the system" };

function Looks() {
  const [theme, setTheme] = useState(chosenTheme);
  return (
    <fieldset className={styles.kinds}>
      <legend className="visually-hidden">Light or dark</legend>
      {THEMES.map((choice) => (
        <label key={choice}>
          <input
            type="radio"
            name="theme"
            checked={theme === choice}
            data-testid={`theme-${choice}`}
            onChange={() => {
              chooseTheme(choice);
              setTheme(choice);
            }}
          />
          {THEME_NAMES[choice]}
        </label>
      ))}
    </fieldset>
  );
}

function Profile() {
  const app = useApp();
  const me = useModel((model) => model.me);
  const [name, setName] = useState(me?.global_name ?? "");
  const [note, setNote] = useState<string | null>(null);
  const form = useSubmit(["global_name"], async () => {
    await app.updateMe({ global_name: name.trim() === "" ? null : name.trim() });
    setNote("Saved.");
  });
  if (me === null) return null;
  const changePicture = async (avatar: string | null | Promise<string>) => {
    try {
      await app.updateMe({ avatar: await avatar });
      setNote("Saved.");
    } catch (error) {
      setNote(sentence(error));
    }
  };
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <div className={own.picture}>
        <Avatar id={me.id} name={me.global_name ?? me.username} hash={me.avatar ?? null} size={72} />
        <label className={own.choose}>
          Choose a picture
          <input type="file" accept={PICTURE_TYPES} data-testid="avatar-file" onChange={(event) => event.target.files?.[0] !== undefined && void changePicture(readPicture(event.target.files[0]))} />
        </label>
        {typeof me.avatar === "string" && (
          <Button look="quiet" onClick={() => void changePicture(null)}>
            Remove it
          </Button>
        )}
      </div>
      <Field label="Name" hint={`Your user name is @${me.username}.`} maxLength={32} value={name} error={form.fields["global_name"]} data-testid="display-name" onChange={(event) => setName(event.target.value)} />
      {note !== null && <p role="status">{note}</p>}
      <Failure text={form.failure} />
      <Button type="submit" disabled={form.isBusy} data-testid="profile-save">
        Save
      </Button>
    </form>
  );
}

function Password() {
  const app = useApp();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [isDone, setDone] = useState(false);
  const form = useSubmit(["password", "new_password"], async () => {
    await app.changePassword(old, next);
    setOld("");
    setNext("");
    setDone(true);
  });
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <Field label="Present password" type="password" autoComplete="current-password" required value={old} error={form.fields["password"]} data-testid="password-old" onChange={(event) => setOld(event.target.value)} />
      <Field label="New password" type="password" autoComplete="new-password" required minLength={8} value={next} error={form.fields["new_password"]} data-testid="password-new" onChange={(event) => setNext(event.target.value)} />
      {isDone && <p role="status">Changed. Everywhere else you are logged out.</p>}
      <Failure text={form.failure} />
      <Button type="submit" disabled={form.isBusy} data-testid="password-save">
        Change it
      </Button>
    </form>
  );
}

function Sessions() {
  const app = useApp();
  const { value, failure, reload } = useLoaded(() => app.sessions());
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [password, setPassword] = useState("");
  const form = useSubmit(["password"], async () => {
    await app.logoutSessions(chosen, password);
    setChosen([]);
    setPassword("");
    await reload();
  });
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <Failure text={failure} />
      <ul className={own.rows}>
        {value?.map((session) => (
          <li key={session.id_hash} data-testid="login-session">
            <label>
              <input
                type="checkbox"
                checked={chosen.includes(session.id_hash)}
                onChange={(event) => setChosen(event.target.checked ? [...chosen, session.id_hash] : chosen.filter((hash) => hash !== session.id_hash))}
              />
              <span>
                {[session.client_info.platform, session.client_info.os].filter((part) => part !== null && part !== undefined).join(" on ") || "Unknown program"}
                <small>last seen {fullTime(Date.parse(session.approx_last_used_time))}</small>
              </span>
            </label>
          </li>
        ))}
      </ul>
      {chosen.length > 0 && (
        <Field label="Your password" type="password" autoComplete="current-password" required value={password} error={form.fields["password"]} onChange={(event) => setPassword(event.target.value)} />
      )}
      <Failure text={form.failure} />
      <Button type="submit" look="danger" disabled={form.isBusy || chosen.length === 0}>
        Log these out
      </Button>
    </form>
  );
}
