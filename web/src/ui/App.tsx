import type { App as Guildhall } from "../app";
import { InviteScreen } from "./auth/InviteScreen";
import { AuthScreen } from "./auth/AuthScreen";
import { AppContext, useApp, useModel, usePage } from "./context";
import { ModalForm } from "./chat/ModalForm";
import { Notices } from "./parts/Notices";
import { Button } from "./parts/Button";
import { Mark } from "./parts/Brand";
import { Shell } from "./Shell";
import styles from "./Shell.module.css";

export function App({ app }: { app: Guildhall }) {
  return (
    <AppContext value={app}>
      <Screen />
      <ModalForm />
      <Notices />
    </AppContext>
  );
}

function Screen() {
  const route = usePage((page) => page.route);
  const isLoggedIn = usePage((page) => page.token !== null);
  const isLoaded = useModel((model) => model.isLoaded);
  if (route.name === "invite") return <InviteScreen key={route.code} code={route.code} />;
  if (!isLoggedIn) return <AuthScreen invite={null} />;
  return isLoaded ? <Shell /> : <Splash />;
}

function Splash() {
  const app = useApp();
  const gateway = useModel((model) => model.gateway);
  return (
    <main className={styles.splash}>
      <Mark size={64} />
      <p role="status">{gateway === "waiting" ? "The server cannot be reached. Trying again…" : "Opening the hall…"}</p>
      {(gateway === "waiting" || gateway === "refused") && (
        <Button look="quiet" onClick={() => void app.logout()}>
          Log out
        </Button>
      )}
    </main>
  );
}
