// The emojis that the picker offers, by group, with the words they are found by. Any other emoji can be typed or pasted:
// this is a palette, not a limit.

export interface EmojiGroup {
  title: string;
  emojis: readonly { text: string; words: string }[];
}

const GROUPS: Record<string, string> = {
  Faces:
    "😀 grin|😄 happy smile|😁 beam|😂 joy tears laugh|🤣 rofl|😊 blush|😇 innocent|🙂 slight smile|🙃 upside down|😉 wink|😍 heart eyes|🥰 love|😘 kiss|😋 yum|😜 tongue wink|🤪 zany|🤔 thinking|🤨 eyebrow|😐 neutral|😶 no mouth|🙄 eye roll|😏 smirk|😬 grimace|😌 relieved|😴 sleep|🤤 drool|😷 mask|🤒 ill|🤯 mind blown|🥳 party|😎 cool sunglasses|🤓 nerd|🧐 monocle|😕 confused|😟 worried|😮 oh surprised|😳 flushed|🥺 please|😢 cry|😭 sob|😱 scream|😤 huff|😡 angry|🤬 swearing|😈 devil|💀 skull dead|👻 ghost|👽 alien|🤖 robot|💩 poo|🫠 melting|🫡 salute",
  Hands:
    "👍 thumbs up yes plus|👎 thumbs down no minus|👏 clap|🙌 raised hands hooray|🙏 thanks pray please|🤝 handshake deal|👋 wave hello|✌️ victory peace|🤞 fingers crossed luck|🤟 love you|🤘 rock|👌 ok|🤏 pinch small|👈 left|👉 right|👆 up|👇 down|✋ stop hand|💪 strong|🖖 vulcan|✍️ writing|👀 eyes look|🧠 brain|🫶 heart hands",
  Hearts: "❤️ heart red love|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart|🖤 black heart|🤍 white heart|💔 broken heart|💯 hundred|💥 boom|💫 dizzy|🔥 fire hot|✨ sparkles|⭐ star|🌟 glow|⚡ lightning fast|🎉 tada party|🎊 confetti",
  Nature: "🐶 dog|🐱 cat|🐭 mouse|🦊 fox|🐻 bear|🐼 panda|🐸 frog|🐵 monkey|🐔 chicken|🐧 penguin|🦉 owl|🦄 unicorn|🐝 bee|🐛 bug|🦋 butterfly|🐢 turtle|🐙 octopus|🦀 crab rust|🐟 fish|🐬 dolphin|🐳 whale|🌵 cactus|🌲 tree|🌸 blossom|🌻 sunflower|🌙 moon|☀️ sun|🌈 rainbow|❄️ snow|🌊 wave water",
  Food: "🍎 apple|🍌 banana|🍓 strawberry|🍑 peach|🥑 avocado|🍕 pizza|🍔 burger|🍟 fries|🌮 taco|🍜 noodles|🍣 sushi|🍩 doughnut|🍪 cookie|🎂 cake birthday|🍫 chocolate|🍿 popcorn|☕ coffee|🍵 tea|🍺 beer|🍷 wine|🥂 cheers",
  Things:
    "🎮 game|🎲 dice|🎯 target|🏆 trophy win|🥇 gold medal|⚽ football|🏀 basketball|🎵 music note|🎸 guitar|🎤 microphone|🎧 headphones|🎬 film|📷 camera|💻 laptop|🖥️ computer|📱 phone|⌨️ keyboard|💡 idea bulb|🔧 wrench|🔨 hammer|⚙️ gear|🔒 lock|🔑 key|📌 pin|📎 clip|📅 calendar|⏰ alarm clock|⏳ hourglass|💰 money|🎁 gift|📦 package|📝 note|📚 books|🚀 rocket ship|✈️ plane|🚗 car|🏠 house home|🏛️ hall|🗑️ bin",
  Signs: "✅ done check yes|☑️ ballot|✔️ tick|❌ cross no|❎ no|❓ question|❗ exclamation|⚠️ warning|🚫 forbidden|⛔ stop|➕ plus|➖ minus|♻️ recycle|🔁 repeat|▶️ play|⏸️ pause|🔔 bell|🔕 mute|💬 speech|💤 sleep zzz|🆗 ok|🆒 cool|🔴 red|🟠 orange|🟡 yellow|🟢 green|🔵 blue|🟣 purple|⚫ black|⚪ white|1️⃣ one|2️⃣ two|3️⃣ three|4️⃣ four|5️⃣ five",
};

export const EMOJI_GROUPS: readonly EmojiGroup[] = Object.entries(GROUPS).map(([title, list]) => ({
  title,
  emojis: list.split("|").map((entry) => {
    const at = entry.indexOf(" ");
    return { text: entry.slice(0, at), words: entry.slice(at + 1) };
  }),
}));

/** One click away below every message. */
export const QUICK_EMOJIS: readonly string[] = ["👍", "❤️", "😂", "🎉"];

export function findEmojis(query: string): readonly EmojiGroup[] {
  const wanted = query.trim().toLowerCase();
  if (wanted === "") return EMOJI_GROUPS;
  const found = EMOJI_GROUPS.map((group) => ({ title: group.title, emojis: group.emojis.filter((emoji) => emoji.words.includes(wanted) || emoji.text === wanted) }));
  return found.filter((group) => group.emojis.length > 0);
}
