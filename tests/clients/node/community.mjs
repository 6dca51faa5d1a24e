// What a community's bot does with discord.js beyond sending text: each function is one afternoon, each value in its answer is
// what the library made of what the server said. python/community.py and python/hikari_bot.py do the same.

import { once } from 'node:events';

import { AttachmentBuilder, ChannelType, EmbedBuilder, PermissionFlagsBits, ThreadAutoArchiveDuration, WebhookClient } from 'discord.js';

import { given, report } from './script.mjs';

/** Longer than any step takes on a busy machine; a test's own deadline is what usually ends a wait. */
const STEP_MS = 20_000;

const counts = (message) => Object.fromEntries(message.reactions.cache.map(({ emoji, count }) => [emoji.name, count]));

/** A vote: two reactions of its own, one collected from `user`, counted, listed, taken back and cleared. */
async function reactions(client, { channel: id, user }) {
    const channel = await client.channels.fetch(id);
    const message = await channel.send('vote');
    await message.react('👍');
    await message.react('🎉');
    const collector = message.createReactionCollector({ filter: (_reaction, by) => by.id === user, max: 1, time: STEP_MS });
    const ended = once(collector, 'end');
    report('voting', { message: message.id });
    const [collected] = await ended;

    const fresh = () => channel.messages.fetch({ message: message.id, force: true });
    const seen = { collected: collected.map(({ emoji }) => emoji.name), counts: counts(await fresh()) };
    const thumbs = message.reactions.resolve('👍');
    seen.users = (await thumbs.users.fetch()).map((by) => by.id).sort();
    await thumbs.users.remove(client.user.id);
    seen.taken_back = counts(await fresh());
    await message.reactions.removeAll();
    seen.cleared = counts(await fresh());
    return seen;
}

/** Waits for what `user` says next, out of everything that is said. */
async function answer(client, { channel: id, user }) {
    const channel = await client.channels.fetch(id);
    const answers = channel.awaitMessages({ filter: ({ author }) => author.id === user, max: 1, time: STEP_MS });
    const question = await channel.send('who goes there?');
    report('asking', { message: question.id });
    const answer = (await answers).first();
    await answer.reply('pass');
    return { answer: answer.content };
}

async function pins(client, { channel: id }) {
    const channel = await client.channels.fetch(id);
    const kept = await channel.send('the rules');
    await kept.pin('everyone should read them');
    const list = async () => (await channel.messages.fetchPins()).items.map(({ message }) => message.content);
    const seen = { pinned: await list(), known: (await channel.messages.fetch({ message: kept.id, force: true })).pinned };
    await kept.unpin();
    seen.unpinned = await list();
    return seen;
}

/** A file and an embed go out in one message; the file comes back by the address in the message. */
async function files(client, { channel: id, bytes }) {
    const channel = await client.channels.fetch(id);
    const file = new AttachmentBuilder(Buffer.from(bytes, 'base64'), { name: 'map.bin', description: 'the way in' });
    const embed = new EmbedBuilder().setTitle('The map').setDescription('north is up').setColor(0x336699).addFields({ name: 'scale', value: '1:100' });
    const sent = await channel.send({ content: 'found it', files: [file], embeds: [embed] });
    const message = await channel.messages.fetch({ message: sent.id, force: true });
    const attachment = message.attachments.first();
    const [shown] = message.embeds;
    const fetched = Buffer.from(await (await fetch(attachment.url)).arrayBuffer());
    return {
        file: { name: attachment.name, size: attachment.size, description: attachment.description, bytes: fetched.toString('base64') },
        embed: { title: shown.title, description: shown.description, color: shown.color, fields: shown.fields.map(({ name, value }) => ({ name, value })) },
    };
}

/** Three changes with reasons, read back from the audit log, the newest first. */
async function audit(client, { guild: id, member }) {
    const guild = client.guilds.cache.get(id);
    const role = await guild.roles.create({ name: 'herald', permissions: [PermissionFlagsBits.ManageMessages], reason: 'for the feast' });
    await guild.members.addRole({ user: member, role, reason: 'loud voice' });
    await guild.members.kick(member, 'too loud');
    const { entries } = await guild.fetchAuditLogs({ limit: 3 });
    const line = ({ action, executorId, targetId, reason }) => ({ action, user: executorId, target: targetId, reason });
    return { role: role.id, entries: entries.map(line) };
}

/** The bot makes a webhook; who knows its id and token writes with it, under any name, and needs no bot. */
async function webhook(client, { channel: id }) {
    const channel = await client.channels.fetch(id);
    const made = await channel.createWebhook({ name: 'courier', reason: 'news' });
    const hook = new WebhookClient({ id: made.id, token: made.token }, { rest: { api: `${given.base}/api`, version: '10' } });
    const sent = await hook.send({ content: 'hear ye', username: 'Town crier' });
    const seen = { name: made.name, listed: (await channel.fetchWebhooks()).map((each) => each.name), author: sent.author.username };
    seen.by_webhook = (await channel.messages.fetch(sent.id)).webhookId === made.id;
    seen.edited = (await hook.editMessage(sent.id, { content: 'hear ye all' })).content;
    seen.fetched = (await hook.fetchMessage(sent.id)).content;
    await hook.deleteMessage(sent.id);
    await hook.delete();
    seen.left = (await channel.fetchWebhooks()).size;
    hook.destroy();
    return seen;
}

async function thread(client, { channel: id, user }) {
    const channel = await client.channels.fetch(id);
    const start = await channel.send('who brings what?');
    const thread = await start.startThread({ name: 'the feast', autoArchiveDuration: ThreadAutoArchiveDuration.OneDay });
    await thread.send('bread');
    await thread.members.add(user);
    const seen = {
        name: thread.name,
        parent: thread.parentId === channel.id,
        members: (await thread.members.fetch()).map((member) => member.id).sort(),
        active: (await channel.threads.fetchActive()).threads.map(({ name }) => name),
        said: (await thread.messages.fetch()).map(({ content }) => content).filter(Boolean),
    };
    seen.archived = (await thread.setArchived(true)).archived;
    seen.listed = (await channel.threads.fetchArchived()).threads.map(({ name }) => name);
    await thread.delete();
    seen.left = (await channel.threads.fetchActive()).threads.size;
    return seen;
}

/** A forum with tags, a post that bears them, and a webhook that answers the post and begins one of its own. */
async function forum(client, { guild: id }) {
    const guild = client.guilds.cache.get(id);
    const forum = await guild.channels.create({ name: 'market', type: ChannelType.GuildForum, availableTags: [{ name: 'fruit' }, { name: 'bread' }] });
    const names = (thread) => thread.appliedTags.map((tag) => forum.availableTags.find(({ id }) => id === tag).name);
    const [fruit, bread] = forum.availableTags.map((tag) => tag.id);
    const post = await forum.threads.create({ name: 'apples', message: { content: 'the red ones' }, appliedTags: [fruit] });
    const seen = { post: post.name, tags: names(post), begins: (await post.fetchStarterMessage()).content };
    seen.retagged = names(await post.setAppliedTags([fruit, bread]));
    const widened = await forum.setAvailableTags([...forum.availableTags, { name: 'fish' }]);
    seen.offered = widened.availableTags.map(({ name }) => name);
    const made = await forum.createWebhook({ name: 'baker' });
    const hook = new WebhookClient({ id: made.id, token: made.token }, { rest: { api: `${given.base}/api`, version: '10' } });
    // Without a bot the library leaves messages as they come.
    const answer = await hook.send({ content: 'five each', threadId: post.id });
    seen.answered = [(await post.messages.fetch(answer.id)).content, answer.channel_id === post.id];
    const begun = await hook.send({ content: 'still warm', threadName: 'rolls' });
    seen.begun = (await client.channels.fetch(begun.channel_id)).name;
    hook.destroy();
    await forum.delete();
    return seen;
}

/** What few bots do, and what is not there, which a library must get over. */
async function corners(client, { guild: id, channel: text, user }) {
    const guild = client.guilds.cache.get(id);
    const channel = await client.channels.fetch(text);
    const said = await channel.send('worth telling');
    const forwarded = await said.forward(channel);
    const seen = { forwarded: forwarded.messageSnapshots.first().content };
    await said.react('👍');
    await said.react('🎉');
    await said.reactions.resolve('👍').remove();
    seen.left = counts(await channel.messages.fetch({ message: said.id, force: true }));
    seen.alone = (await channel.bulkDelete([said])).size;
    const members = await guild.members.fetch({ user: [user], withPresences: true });
    seen.member = members.map((member) => [member.id, member.presence?.status ?? 'offline']);
    const counted = await client.guilds.fetch({ guild: id, withCounts: true, force: true });
    seen.members = counted.approximateMemberCount;
    seen.nick = (await guild.members.editMe({ nick: 'Jack' })).nickname;
    const thread = await channel.threads.create({ name: 'aside' });
    await thread.leave();
    await thread.join();
    seen.joined = (await thread.members.fetch()).map((member) => member.id === client.user.id);
    await thread.delete();
    // More than anyone may ask in a second, each within the limit of its kind: some are refused, and asked again.
    const ask = () => [client.users.fetch(user, { force: true }), client.channels.fetch(text, { force: true }), guild.fetch()];
    seen.answered = (await Promise.all(Array.from({ length: 30 }, ask).flat())).length;
    const refused = async (call) => call.then(() => 200, ({ status }) => status);
    seen.missing = [await refused(guild.scheduledEvents.fetch()), await refused(guild.stickers.fetch())];
    return seen;
}

/** As commands of a script: each is given the client. */
export const community = (client) =>
    Object.fromEntries(Object.entries({ reactions, answer, pins, files, audit, webhook, thread, forum, corners }).map(([name, act]) => [name, (command) => act(client, command)]));
