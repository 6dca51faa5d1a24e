// A discord.js bot with @discordjs/voice, both as released, pointed at the server under test.
//
// Given: {base: "http://host:port", token: "…"}. See script.mjs for how it is driven.

import {
    AudioPlayerStatus,
    EndBehaviorType,
    NetworkingStatusCode,
    NoSubscriberBehavior,
    StreamType,
    VoiceConnectionStatus,
    createAudioPlayer,
    createAudioResource,
    entersState,
    joinVoiceChannel,
} from '@discordjs/voice';
import { ChannelType, Client, Events, GatewayIntentBits, Partials, PermissionFlagsBits } from 'discord.js';

import { community } from './community.mjs';
import { frameStream, readFrames } from './frames.mjs';
import { given, report, serve } from './script.mjs';

/** Longer than any step takes on a busy machine; a test's own deadline is what usually ends a wait. */
const STEP_MS = 20_000;

const client = new Client({
    rest: { api: `${given.base}/api`, version: '10' },
    intents: [
        GatewayIntentBits.Guilds,
        GatewayIntentBits.GuildMembers,
        GatewayIntentBits.GuildModeration,
        GatewayIntentBits.GuildMessages,
        GatewayIntentBits.GuildMessageReactions,
        GatewayIntentBits.GuildMessageTyping,
        GatewayIntentBits.GuildPresences,
        GatewayIntentBits.GuildVoiceStates,
        GatewayIntentBits.DirectMessages,
        GatewayIntentBits.MessageContent,
    ],
    partials: [Partials.Channel, Partials.Message],
});

const message = (from) => ({
    id: from.id,
    channel: from.channelId,
    guild: from.guildId,
    author: from.author?.id ?? null,
    content: from.content,
    edited: from.editedTimestamp ?? null,
});

client.on(Events.ClientReady, () => report('ready', { user: client.user.id, name: client.user.username }));
client.on(Events.ShardResume, (_shard, replayed) => report('resumed', { replayed }));
client.on(Events.ShardReady, () => report('identified'));
client.on(Events.ShardReconnecting, () => report('reconnecting'));
client.on(Events.ShardDisconnect, (close) => report('disconnected', { code: close.code }));
client.on(Events.Error, (error) => report('error', { message: String(error) }));
client.on(Events.MessageCreate, (created) => report('message_create', message(created)));
client.on(Events.MessageUpdate, (_old, updated) => report('message_update', message(updated)));
client.on(Events.MessageDelete, (deleted) => report('message_delete', { id: deleted.id, channel: deleted.channelId }));
client.on(Events.TypingStart, (typing) => report('typing_start', { channel: typing.channel.id, user: typing.user.id }));
client.on(Events.GuildCreate, (guild) => report('guild_create', { guild: guild.id }));
client.on(Events.GuildDelete, (guild) => report('guild_delete', { guild: guild.id }));
client.on(Events.GuildMemberAdd, (member) => report('member_add', { guild: member.guild.id, user: member.id }));
client.on(Events.GuildMemberRemove, (member) => report('member_remove', { guild: member.guild.id, user: member.id }));
client.on(Events.ChannelCreate, (channel) => report('channel_create', { channel: channel.id, name: channel.name }));
client.on(Events.ChannelUpdate, (_old, channel) => report('channel_update', { channel: channel.id, name: channel.name }));
client.on(Events.ChannelDelete, (channel) => report('channel_delete', { channel: channel.id }));
client.on(Events.PresenceUpdate, (_old, now) => report('presence_update', { user: now.userId, status: now.status }));
client.on(Events.VoiceStateUpdate, (_old, now) =>
    report('voice_state_update', {
        user: now.id,
        channel: now.channelId,
        self_mute: now.selfMute,
        self_deaf: now.selfDeaf,
        mute: now.serverMute,
        deaf: now.serverDeaf,
    }),
);

const channelOf = (id) => client.channels.fetch(id);

let connection = null;
const player = createAudioPlayer({ behaviors: { noSubscriber: NoSubscriberBehavior.Pause, maxMissedFrames: 250 } });
player.on('stateChange', (old, now) => old.status !== now.status && report('player', { status: now.status }));
player.on('error', (error) => report('error', { message: String(error) }));

function watch(joined) {
    joined.on('stateChange', (old, now) => {
        if (old.status !== now.status) report('voice', { status: now.status, close: now.closeCode ?? null });
    });
    joined.on('error', (error) => report('error', { message: String(error) }));
}

/** An administrator's afternoon: every step is a call of the library, every value is what the library made of the answer. */
async function manage(guild, memberId) {
    const seen = {};
    const role = await guild.roles.create({ name: 'keeper', colors: { primaryColor: 0x336699 }, permissions: [PermissionFlagsBits.ManageMessages] });
    seen.role = { name: role.name, color: role.colors.primaryColor, permissions: role.permissions.bitfield };
    seen.renamed = (await role.edit({ name: 'warden', hoist: true })).name;
    const member = await guild.members.fetch(memberId);
    seen.given = (await member.roles.add(role)).roles.cache.has(role.id);
    seen.nick = (await member.setNickname('Sir Robin')).nickname;

    const channel = await guild.channels.create({
        name: 'vault',
        type: ChannelType.GuildText,
        topic: 'secrets',
        permissionOverwrites: [{ id: guild.id, deny: [PermissionFlagsBits.ViewChannel] }],
    });
    seen.channel = { name: channel.name, topic: channel.topic, hidden: !channel.permissionsFor(guild.roles.everyone).has('ViewChannel') };
    const opened = await channel.permissionOverwrites.edit(role, { ViewChannel: true, SendMessages: false });
    const mine = opened.permissionsFor(await guild.members.fetch({ user: memberId, force: true }));
    seen.overwrite = { view: mine.has('ViewChannel'), send: mine.has('SendMessages') };
    seen.slowmode = (await channel.edit({ rateLimitPerUser: 5 })).rateLimitPerUser;
    const invite = await channel.createInvite({ maxAge: 3600, maxUses: 2 });
    const fetched = await client.fetchInvite(invite.code);
    seen.invite = { guild: fetched.guild.id, channel: fetched.channel.id, uses: invite.maxUses, age: invite.maxAge };

    const sent = [];
    for (const content of ['one', 'two', 'three', 'four']) sent.push(await channel.send(content));
    seen.after = (await channel.messages.fetch({ after: sent[1].id })).map(({ content }) => content);
    seen.bulk = (await channel.bulkDelete(sent.slice(0, 3))).size;
    seen.left = (await channel.messages.fetch()).map(({ content }) => content);

    seen.timeout = (await member.timeout(60_000)).isCommunicationDisabled();
    seen.untimed = (await member.timeout(null)).isCommunicationDisabled();
    await guild.members.ban(memberId, { reason: 'ni' });
    seen.bans = (await guild.bans.fetch()).map(({ user, reason }) => ({ user: user.id, reason }));
    await guild.members.unban(memberId);
    seen.unbanned = (await guild.bans.fetch()).size;
    await channel.delete();
    await role.delete();
    seen.gone = !guild.channels.cache.has(channel.id) && !guild.roles.cache.has(role.id);
    return seen;
}

/** What came from each user that is listened to: Opus packets, base64. */
const heard = new Map();

serve(
    {
        caches: () => ({
            user: { id: client.user.id, name: client.user.username, bot: client.user.bot },
            guilds: client.guilds.cache.map((guild) => ({
                id: guild.id,
                name: guild.name,
                owner: guild.ownerId,
                available: guild.available,
                member_count: guild.memberCount,
                channels: guild.channels.cache.map(({ id, name, type }) => ({ id, name, type })),
                roles: guild.roles.cache.map(({ id, name, permissions }) => ({ id, name, permissions: permissions.bitfield })),
                members: guild.members.cache.map(({ id }) => id),
                my_permissions: guild.members.me?.permissions.bitfield ?? null,
            })),
        }),
        fetch_members: async ({ guild }) => (await client.guilds.cache.get(guild).members.fetch()).map(({ id }) => id),
        send: async ({ channel, content, reply_to, nonce }) => {
            const reply = reply_to && { messageReference: reply_to };
            return message(await (await channelOf(channel)).send({ content, reply, nonce, enforceNonce: nonce !== undefined }));
        },
        edit: async ({ channel, message: id, content }) => message(await (await channelOf(channel)).messages.edit(id, content)),
        delete: async ({ channel, message: id }) => (await channelOf(channel)).messages.delete(id),
        history: async ({ channel, limit }) => (await (await channelOf(channel)).messages.fetch({ limit })).map(message),
        typing: async ({ channel }) => (await channelOf(channel)).sendTyping(),
        ...community(client),
        manage: ({ guild, member }) => manage(client.guilds.cache.get(guild), member),
        join_voice: async ({ guild, channel, self_mute = false, self_deaf = false }) => {
            const joined = joinVoiceChannel({
                guildId: guild,
                channelId: channel,
                selfMute: self_mute,
                selfDeaf: self_deaf,
                adapterCreator: client.guilds.cache.get(guild).voiceAdapterCreator,
            });
            // Moving to another channel of the guild keeps the connection object.
            if (joined !== connection) watch(joined);
            connection = joined;
            await entersState(connection, VoiceConnectionStatus.Ready, STEP_MS);
            connection.subscribe(player);
            connection.state.networking.on('stateChange', (old, now) => {
                if (old.code === NetworkingStatusCode.Resuming && now.code === NetworkingStatusCode.Ready) report('voice_resumed');
            });
            return { mode: connection.state.networking.state.connectionData.encryptionMode };
        },
        voice_state: () => ({
            connected: connection?.state.status === VoiceConnectionStatus.Ready,
            channel: connection?.joinConfig.channelId ?? null,
        }),
        leave_voice: () => {
            connection.destroy();
            connection = null;
        },
        play: ({ frames, loop = false }) => {
            const stream = frameStream(readFrames(frames), { loop });
            player.play(createAudioResource(stream, { inputType: StreamType.Opus, silencePaddingFrames: 5 }));
        },
        stop: () => player.stop(),
        played: () => entersState(player, AudioPlayerStatus.Idle, STEP_MS).then(() => null),
        listen: ({ user }) => {
            const packets = [];
            heard.set(user, packets);
            connection.receiver
                .subscribe(user, { end: { behavior: EndBehaviorType.Manual } })
                .on('data', (packet) => packets.push(packet.toString('base64')))
                .on('error', (error) => report('error', { message: String(error) }));
        },
        heard: ({ user }) => heard.get(user),
    },
    async () => {
        connection?.destroy();
        await client.destroy();
    },
);

await client.login(given.token);
