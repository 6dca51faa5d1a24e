// A discord.js bot, as released, that is written to in private. With Partials.Channel it hears of DMs that it never saw.
// python/bot.py and python/hikari_bot.py take the same commands.
//
// Given: {base: "http://host:port", token: "…"}. See script.mjs for how it is driven.

import { Client, Events, GatewayIntentBits, Partials } from 'discord.js';

import { given, report, serve } from './script.mjs';

const client = new Client({
    rest: { api: `${given.base}/api`, version: '10' },
    intents: [GatewayIntentBits.Guilds, GatewayIntentBits.DirectMessages, GatewayIntentBits.DirectMessageReactions],
    partials: [Partials.Channel, Partials.Message, Partials.Reaction],
});

const plain = (message) => ({
    id: message.id,
    channel: message.channelId,
    guild: message.guildId,
    author: message.author.id,
    content: message.content,
    is_dm: message.channel.isDMBased(),
});

client.on(Events.ClientReady, () => report('ready', { user: client.user.id }));
client.on(Events.Error, (error) => report('error', { message: String(error) }));
client.on(Events.MessageCreate, (message) => report('message_create', plain(message)));
client.on(Events.MessageReactionAdd, (reaction, user) =>
    report('reaction_add', { id: reaction.message.id, emoji: reaction.emoji.name, user: user.id }),
);

serve(
    {
        /** Answers a message with a reply, a reaction on it, and an edit of the reply. */
        converse: async ({ channel, message }) => {
            const asked = await (await client.channels.fetch(channel)).messages.fetch(message);
            const reply = await asked.reply('one moment');
            await asked.react('👍');
            return plain(await reply.edit('here you are'));
        },
        /** What the channel holds, newest first. */
        history: async ({ channel, limit }) => {
            const messages = await (await client.channels.fetch(channel)).messages.fetch({ limit, cache: false });
            return messages.map(plain);
        },
        /** Begins a conversation. */
        write: async ({ user, content }) => plain(await (await client.users.fetch(user)).send(content)),
    },
    () => client.destroy(),
);

await client.login(given.token);
