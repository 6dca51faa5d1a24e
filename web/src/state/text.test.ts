import { describe, expect, it } from "vitest";
import { formatRoute, inviteCode, parseRoute } from "./route";
import { tokenize } from "./text";

describe("tokenize", () => {
  it("finds links, mentions and channels and leaves the rest as it is", () => {
    expect(tokenize("hi <@12> and <@!13>, see <#14> or <@&15>: https://example.org/a?b=c.")).toEqual([
      { kind: "text", text: "hi " },
      { kind: "user", id: "12" },
      { kind: "text", text: " and " },
      { kind: "user", id: "13" },
      { kind: "text", text: ", see " },
      { kind: "channel", id: "14" },
      { kind: "text", text: " or " },
      { kind: "role", id: "15" },
      { kind: "text", text: ": " },
      { kind: "link", href: "https://example.org/a?b=c" },
      { kind: "text", text: "." },
    ]);
  });

  it("keeps a bracket that the link opened itself", () => {
    expect(tokenize("(https://example.org/x_(y))")).toEqual([
      { kind: "text", text: "(" },
      { kind: "link", href: "https://example.org/x_(y)" },
      { kind: "text", text: ")" },
    ]);
  });

  it.each(["<script>alert(1)</script>", "javascript:alert(1)", "http://", "**bold** _it_ `x`", "<@abc>", "a\nb\n"])("treats %j as plain text", (content) => {
    expect(tokenize(content)).toEqual([{ kind: "text", text: content }]);
  });

  it.each(["", "https://a.b/c)).,", "x<@1>y<#2>https://a.b<@3>", "https://"])("loses nothing of %j", (content) => {
    const back = tokenize(content).map((token) => {
      if (token.kind === "text") return token.text;
      if (token.kind === "link") return token.href;
      return `<${{ user: "@", role: "@&", channel: "#" }[token.kind]}${token.id}>`;
    });
    expect(back.join("")).toBe(content);
  });
});

describe("routes", () => {
  it.each(["/", "/channels/10", "/channels/10/20", "/invite/aBc-12"])("reads %s and writes it back", (path) => {
    expect(formatRoute(parseRoute(path))).toBe(path);
  });

  it.each(["/nowhere", "/channels/x", "/invite/", "/invite/a b"])("takes %s for home", (path) => {
    expect(parseRoute(path)).toEqual({ name: "home" });
  });

  it("finds the code in what people paste", () => {
    expect(["https://hall.example/invite/abcd", " /invite/abcd/ ", "abcd"].map(inviteCode)).toEqual(["abcd", "abcd", "abcd"]);
    expect(["", "two words", "https://hall.example/other/abcd"].map(inviteCode)).toEqual([null, null, null]);
  });
});
