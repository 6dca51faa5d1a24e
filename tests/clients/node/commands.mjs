// A discord.js bot with commands, buttons, menus and modals, as released, pointed at the server under test.
//
// Given: {base: "http://host:port", token: "…"}. See script.mjs for how it is driven.

import {
    ActionRowBuilder,
    ApplicationCommandType,
    AttachmentBuilder,
    ButtonBuilder,
    ButtonStyle,
    ChannelSelectMenuBuilder,
    ChannelType,
    Client,
    ContextMenuCommandBuilder,
    Events,
    GatewayIntentBits,
    LabelBuilder,
    MentionableSelectMenuBuilder,
    MessageFlags,
    ModalBuilder,
    RoleSelectMenuBuilder,
    SlashCommandBuilder,
    StringSelectMenuBuilder,
    TextInputBuilder,
    TextInputStyle,
    UserSelectMenuBuilder,
} from 'discord.js';

import { given, report, serve } from './script.mjs';

const client = new Client({
    rest: { api: `${given.base}/api`, version: '10' },
    intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages],
});

client.on(Events.ClientReady, () => report('ready', { user: client.user.id }));
client.on(Events.Error, (error) => report('error', { message: String(error) }));

const commands = [
    new SlashCommandBuilder()
        .setName('greet')
        .setDescription('Greets someone')
        .addUserOption((option) => option.setName('whom').setDescription('Whom').setRequired(true))
        .addIntegerOption((option) => option.setName('times').setDescription('How often').setMinValue(1).setMaxValue(3))
        .addStringOption((option) => option.setName('how').setDescription('How').addChoices({ name: 'Loudly', value: 'loud' })),
    new SlashCommandBuilder()
        .setName('find')
        .setDescription('Finds things')
        .addSubcommand((sub) =>
            sub
                .setName('book')
                .setDescription('A book')
                .addStringOption((option) => option.setName('title').setDescription('Its title').setRequired(true).setAutocomplete(true)),
        ),
    new SlashCommandBuilder().setName('game').setDescription('Buttons, a menu and a form'),
    new SlashCommandBuilder().setName('menus').setDescription('Menus of people, roles and channels'),
    new SlashCommandBuilder().setName('slow').setDescription('Takes its time'),
    new SlashCommandBuilder().setName('secret').setDescription('Between you and me'),
    new SlashCommandBuilder().setName('silent').setDescription('Never answers'),
    new ContextMenuCommandBuilder().setName('Wave').setType(ApplicationCommandType.User),
    new ContextMenuCommandBuilder().setName('Quote').setType(ApplicationCommandType.Message),
];

const row = (...components) => new ActionRowBuilder().addComponents(...components);
const button = (id, label) => new ButtonBuilder().setCustomId(id).setLabel(label).setStyle(ButtonStyle.Primary);

const label = (name, field) => new LabelBuilder().setLabel(name).setTextInputComponent(field);
const text = (id) => new TextInputBuilder().setCustomId(id).setStyle(TextInputStyle.Short);

const form = () => new ModalBuilder().setCustomId('form').setTitle('Tell me').addLabelComponents(label('Your name', text('name')));

/**
 * Waits for one thing that a person does. The library hears of it only from now on, and what came sooner is lost. A person's hand
 * is never so fast; a test is, and waits for the report.
 */
function used(id, waiting) {
    report('listens', { id });
    return waiting;
}

/** One message lives through a button that updates it, a menu, and a button that opens a form. */
async function game(interaction) {
    const pick = new StringSelectMenuBuilder()
        .setCustomId('pick')
        .setMaxValues(2)
        .addOptions({ label: 'Red', value: 'red' }, { label: 'Blue', value: 'blue' }, { label: 'Green', value: 'green' });
    const components = [row(button('next', 'Next'), button('ask', 'Ask')), row(pick)];
    const { resource } = await interaction.reply({ content: 'round 1', components, withResponse: true });
    const { message } = resource;
    const mine = (id) => (used) => used.customId === id && used.user.id === interaction.user.id;

    const pressed = await used('next', message.awaitMessageComponent({ filter: mine('next'), time: 20_000 }));
    await pressed.update({ content: 'round 2' });

    const picked = await used('pick', message.awaitMessageComponent({ filter: mine('pick'), time: 20_000 }));
    await picked.deferUpdate();
    await picked.editReply({ content: `picked ${picked.values.join(' and ')}` });

    const asked = await used('ask', message.awaitMessageComponent({ filter: mine('ask'), time: 20_000 }));
    await asked.showModal(form());
    const submitted = await used('form', asked.awaitModalSubmit({ time: 20_000 }));
    await submitted.update({ content: `hello ${submitted.fields.getTextInputValue('name')}`, components: [] });
    const more = await submitted.followUp({ content: 'well played' });
    report('played', { message: message.id, followed: more.id, from: submitted.isFromMessage() });
}

/** Menus that the person's client fills, a form of several fields, and what it says with files that only they see. */
async function menus(interaction) {
    const components = [
        row(new UserSelectMenuBuilder().setCustomId('user')),
        row(new RoleSelectMenuBuilder().setCustomId('role')),
        row(new ChannelSelectMenuBuilder().setCustomId('channel').setChannelTypes(ChannelType.GuildText)),
        row(new MentionableSelectMenuBuilder().setCustomId('both').setMaxValues(2)),
    ];
    const { resource } = await interaction.reply({ content: 'choose', components, withResponse: true });
    let choice;
    for (const menu of ['user', 'role', 'channel', 'both']) {
        const filter = ({ customId }) => customId === menu;
        choice = await used(menu, resource.message.awaitMessageComponent({ filter, time: 20_000 }));
        const { users, roles, channels } = choice;
        const named = [...(users?.values() ?? []), ...(roles?.values() ?? []), ...(channels?.values() ?? [])];
        report('picked', { menu, names: named.map(({ username, name }) => username ?? name).sort() });
        if (menu !== 'both') await choice.update({ content: `${menu} picked` });
    }
    const story = text('story').setStyle(TextInputStyle.Paragraph).setMinLength(5).setMaxLength(200);
    const fields = [label('Who', text('who')), label('What happened', story), label('Anything else', text('more').setRequired(false))];
    await choice.showModal(new ModalBuilder().setCustomId('report').setTitle('Report').addLabelComponents(fields));
    const modal = await used('report', choice.awaitModalSubmit({ time: 20_000 }));
    const flags = MessageFlags.Ephemeral;
    await modal.deferReply({ flags });
    const file = (name) => new AttachmentBuilder(Buffer.from(name), { name });
    const said = ['who', 'story', 'more'].map((id) => modal.fields.getTextInputValue(id));
    const kept = await modal.editReply({ content: said.join('|'), files: [file('kept.txt')] });
    const more = await modal.followUp({ content: 'a copy', files: [file('copy.txt')], flags });
    const files = [...kept.attachments.values(), ...more.attachments.values()].map(({ name }) => name);
    report('noted', { files, hidden: more.flags.has(flags) });
}

const handlers = {
    greet: async (interaction) => {
        const { options } = interaction;
        const [whom, member] = [options.getUser('whom'), options.getMember('whom')];
        report('greeted', {
            whom: whom.id,
            member: member.id,
            times: options.getInteger('times'),
            how: options.getString('how'),
            by: interaction.member.id,
            channel: interaction.channel.id,
            may: interaction.memberPermissions.has('SendMessages'),
            app: interaction.appPermissions.has('ViewChannel'),
        });
        await interaction.reply(`Hello <@${whom.id}>`);
        const reply = await interaction.fetchReply();
        report('replied', { id: reply.id, content: reply.content, command: reply.interactionMetadata.user.id });
        await interaction.reply('again').catch((error) => report('refused', { code: error.code }));
        await interaction.deleteReply();
    },
    find: (interaction) => interaction.reply(`found ${interaction.options.getSubcommand()} ${interaction.options.getString('title')}`),
    game,
    menus,
    slow: async (interaction) => {
        await interaction.deferReply();
        await interaction.editReply('done at last');
        const more = await interaction.followUp('and more');
        await interaction.webhook.editMessage(more.id, 'and even more');
        report('slow', { replied: interaction.replied, followed: more.id });
    },
    secret: async (interaction) => {
        const flags = MessageFlags.Ephemeral;
        await interaction.reply({ content: 'psst', flags });
        await interaction.editReply({ content: 'psst!', components: [row(button('hush', 'Hush'))] });
        const message = await interaction.fetchReply();
        const pressed = await used('hush', message.awaitMessageComponent({ time: 20_000 }));
        await pressed.update({ content: 'hushed', components: [] });
        await pressed.followUp({ content: 'not a word', flags });
        await interaction.deleteReply();
        report('hushed', { ephemeral: message.flags.has(flags) });
    },
    silent: () => {},
    Wave: (interaction) => interaction.reply(`${interaction.user.username} waves at ${interaction.targetUser.username}`),
    Quote: (interaction) => interaction.reply(`> ${interaction.targetMessage.content}`),
};

client.on(Events.InteractionCreate, async (interaction) => {
    try {
        if (interaction.isAutocomplete()) {
            const { name, value } = interaction.options.getFocused(true);
            await interaction.respond([{ name: `${value}menghast`, value: `${name}:${value}` }]);
        } else if (interaction.isCommand()) {
            await handlers[interaction.commandName](interaction);
        }
    } catch (error) {
        report('error', { message: String(error?.stack ?? error) });
    }
});

serve(
    {
        register: async ({ guild }) => {
            const everywhere = await client.application.commands.set(commands);
            const here = await client.guilds.cache.get(guild).commands.create(new SlashCommandBuilder().setName('here').setDescription('Only here'));
            const renamed = await here.edit({ description: 'Only in this guild' });
            await here.delete();
            return {
                names: everywhere.map(({ name }) => name).sort(),
                renamed: renamed.description,
                left: (await client.guilds.cache.get(guild).commands.fetch()).size,
            };
        },
    },
    () => client.destroy(),
);

await client.login(given.token);
