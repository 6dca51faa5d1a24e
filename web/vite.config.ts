import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv } from "vite";

export default defineConfig(({ mode }) => {
  // `npm run dev` serves the page on its own port and hands the API and the gateway to a running server.
  const server = loadEnv(mode, ".", "GUILDHALL_")["GUILDHALL_URL"] ?? "http://localhost:8080";
  return {
    plugins: [react()],
    build: {
      // Evergreen browsers of 2024 and later: all of them have what the page uses (dialog, :has, unified plan WebRTC).
      target: "es2022",
      // The page's content security policy forbids inline data, and a few more requests cost little.
      assetsInlineLimit: 0,
    },
    server: { proxy: { "/api": server, "/gateway": { target: server, ws: true } } },
  };
});
