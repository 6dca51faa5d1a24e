import { useState } from "react";
import type { Invite } from "../../api/types";
import { Brand } from "../parts/Brand";
import { Button } from "../parts/Button";
import { Field } from "../parts/Field";
import { useSubmit } from "../parts/useSubmit";
import { useApp } from "../context";
import styles from "./auth.module.css";

/** Log in or register; with an invite at hand, it says where one is going. */
export function AuthScreen({ invite, note = null }: { invite: Invite | null; note?: string | null }) {
  const [mode, setMode] = useState<"login" | "register">(invite === null ? "login" : "register");
  return (
    <main className={styles.screen}>
      <section className={styles.card}>
        <Brand />
        {note !== null && (
          <p className={styles.invited} role="status">
            {note}
          </p>
        )}
        {invite !== null && (
          <p className={styles.invited}>
            {invite.inviter ? `${invite.inviter.global_name ?? invite.inviter.username} invites you to ` : "You are invited to "}
            <strong>{invite.guild.name}</strong>
          </p>
        )}
        {mode === "login" ? <Login /> : <Register invite={invite} />}
        <p className={styles.switch}>
          {mode === "login" ? "New here?" : "Have an account?"}{" "}
          <button
            type="button"
            data-testid={mode === "login" ? "show-register" : "show-login"}
            onClick={() => setMode(mode === "login" ? "register" : "login")}
          >
            {mode === "login" ? "Create an account" : "Log in"}
          </button>
        </p>
      </section>
    </main>
  );
}

function Login() {
  const app = useApp();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const form = useSubmit(["login", "password"], () => app.login(name.trim(), password));
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <h1>Welcome back</h1>
      <Field
        label="Email or username"
        name="username"
        autoComplete="username"
        required
        value={name}
        error={form.fields["login"]}
        data-testid="login-name"
        onChange={(event) => setName(event.target.value)}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        error={form.fields["password"]}
        data-testid="login-password"
        onChange={(event) => setPassword(event.target.value)}
      />
      <Failure text={form.failure} />
      <Button type="submit" disabled={form.isBusy} data-testid="login-submit">
        {form.isBusy ? "One moment…" : "Log in"}
      </Button>
    </form>
  );
}

function Register({ invite }: { invite: Invite | null }) {
  const app = useApp();
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const form = useSubmit(["username", "email", "password"], () =>
    app.register({ username: username.trim(), email: email.trim() || null, password }, invite?.code ?? null),
  );
  return (
    <form className={styles.form} onSubmit={form.onSubmit}>
      <h1>Join the hall</h1>
      <Field
        label="Username"
        name="username"
        autoComplete="username"
        required
        minLength={2}
        maxLength={32}
        hint="Letters, digits, dots, hyphens and underscores."
        value={username}
        error={form.fields["username"]}
        data-testid="register-name"
        onChange={(event) => setUsername(event.target.value)}
      />
      <Field
        label="Email (optional)"
        name="email"
        type="email"
        autoComplete="email"
        value={email}
        error={form.fields["email"]}
        data-testid="register-email"
        onChange={(event) => setEmail(event.target.value)}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="new-password"
        required
        minLength={8}
        hint="At least 8 characters."
        value={password}
        error={form.fields["password"]}
        data-testid="register-password"
        onChange={(event) => setPassword(event.target.value)}
      />
      <Failure text={form.failure} />
      <Button type="submit" disabled={form.isBusy} data-testid="register-submit">
        {form.isBusy ? "One moment…" : "Create account"}
      </Button>
    </form>
  );
}

export function Failure({ text }: { text: string | null }) {
  return (
    <p role="alert" className={styles.failure} data-testid="form-failure">
      {text}
    </p>
  );
}
