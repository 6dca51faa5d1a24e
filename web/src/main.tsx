import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App as Guildhall } from "./app";
import { installHook } from "./hook";
import { App } from "./ui/App";
import { showTheme } from "./ui/theme";
import "./ui/tokens.css";
import "./ui/base.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
showTheme();
const app = new Guildhall();
installHook(app);
createRoot(root).render(
  <StrictMode>
    <App app={app} />
  </StrictMode>,
);
