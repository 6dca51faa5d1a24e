import { describe, expect, it } from "vitest";
import { type Inline, parse, parseInline, plainText } from "./markdown";
import { formatRoute, inviteCode, parseRoute } from "./route";

const text = (value: string): Inline => ({ kind: "text", text: value });

describe("parseInline", () => {
  it("finds links, mentions and channels and leaves the rest as it is", () => {
    const href = "https://example.org/a?b=c";
    expect(parseInline(`hi <@12> and <@!13>, see <#14> or <@&15>: ${href}.`)).toEqual([
      text("hi "),
      { kind: "user", id: "12" },
      text(" and "),
      { kind: "user", id: "13" },
      text(", see "),
      { kind: "channel", id: "14" },
      text(" or "),
      { kind: "role", id: "15" },
      text(": "),
      { kind: "link", href, children: [text(href)] },
      text("."),
    ]);
  });

  it("keeps a bracket that the link opened itself", () => {
    const href = "https://example.org/x_(y)";
    expect(parseInline(`(${href})`)).toEqual([text("("), { kind: "link", href, children: [text(href)] }, text(")")]);
  });

  it("reads spans, also inside each other", () => {
    expect(parseInline("**bold _and_ ||more||** ~~no~~ __under__ `*code*`")).toEqual([
      { kind: "strong", children: [text("bold "), { kind: "em", children: [text("and")] }, text(" "), { kind: "spoiler", children: [text("more")] }] },
      text(" "),
      { kind: "strike", children: [text("no")] },
      text(" "),
      { kind: "underline", children: [text("under")] },
      text(" "),
      { kind: "code", text: "*code*" },
    ]);
  });

  it("reads emojis, times, named and hidden links", () => {
    expect(parseInline("<:clock:55><a:tick:56> <t:0:R> [here](https://a.b) <https://c.d> @everyone")).toEqual([
      { kind: "emoji", id: "55", name: "clock", isAnimated: false },
      { kind: "emoji", id: "56", name: "tick", isAnimated: true },
      text(" "),
      { kind: "time", atMs: 0, style: "R" },
      text(" "),
      { kind: "link", href: "https://a.b", children: [text("here")] },
      text(" "),
      { kind: "link", href: "https://c.d", children: [text("https://c.d")] },
      text(" "),
      { kind: "everyone", text: "@everyone" },
    ]);
  });

  it.each(["<script>alert(1)</script>", "javascript:alert(1)", "[x](javascript:alert(1))", "http://", "<@abc>", "2 * 3 * 4", "snake_case_name", "** **", "a*b", "https://", "****", "||||"])(
    "treats %j as plain text",
    (content) => expect(parseInline(content)).toEqual([text(content)]),
  );

  it("takes an escaped mark for the character", () => {
    expect(parseInline("\\*not\\* \\<@1> C:\\dir")).toEqual([text("*not* <@1> C:\\dir")]);
  });

  it("ends on the longest message of marks", () => {
    for (const mark of ["*", "_", "**a", "||", "`", "[", "<", "> "]) expect(parse(mark.repeat(4000 / mark.length)).length).toBeGreaterThan(0);
  });
});

describe("parse", () => {
  it("reads blocks", () => {
    expect(parse("# Title\nline one\nline two\n- a\n- b\n3. c\n> quoted\n> *more*\n-# small\n```rust\nfn main() {}\n```\nend")).toEqual([
      { kind: "heading", level: 1, children: [text("Title")] },
      { kind: "paragraph", children: [text("line one\nline two")] },
      { kind: "list", start: null, items: [[text("a")], [text("b")]] },
      { kind: "list", start: 3, items: [[text("c")]] },
      { kind: "quote", children: [{ kind: "paragraph", children: [text("quoted\n"), { kind: "em", children: [text("more")] }] }] },
      { kind: "subtext", children: [text("small")] },
      { kind: "code", language: "rust", text: "fn main() {}" },
      { kind: "paragraph", children: [text("end")] },
    ]);
  });

  it("quotes everything after three arrows", () => {
    expect(parse("a\n>>> b\nc")).toEqual([
      { kind: "paragraph", children: [text("a")] },
      { kind: "quote", children: [{ kind: "paragraph", children: [text("b\nc")] }] },
    ]);
  });

  it("gives the text alone, without what is hidden", () => {
    expect(plainText("# Hi **you** ||secret||\n- <:clock:5>")).toBe("Hi you ▇▇▇ :clock:");
  });
});

describe("routes", () => {
  it.each(["/", "/channels/@me", "/channels/@me/30", "/channels/10", "/channels/10/20", "/invite/aBc-12"])("reads %s and writes it back", (path) => {
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
