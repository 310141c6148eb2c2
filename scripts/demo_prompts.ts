// What the demo submits: the 1,632 PartiPrompts where their file lies beside the project, else prompts of our own.

import { readFile } from 'node:fs/promises';

const FILE = new URL('../../shared/data/parti_prompts.tsv', import.meta.url);

/** Each of our own is submitted with so many seeds: enough jobs to see a fleet at work. */
const SEEDS_OF_OWN = 16;

const OWN = [
  'a red fox asleep on a pile of autumn leaves',
  'a lighthouse in a storm, oil on canvas',
  'an astronaut planting tulips on the moon',
  'a bowl of ramen seen from above, steam rising',
  'a paper boat on a rainy street',
  'the inside of a clock, made of glass',
  'a library inside a hollow tree',
  'three goats on a mountain ridge at sunrise',
  'a vintage bicycle leaning against a blue wall',
  'a city of bridges, watercolour',
  'a robot learning to bake bread',
  'a bottle with a galaxy in it',
  'a hedgehog in a knitted sweater',
  'a train crossing a frozen lake at night',
  'an old fisherman mending a net, portrait',
  'a kitchen garden drawn as a map',
  'a violin made of ice',
  'two snails racing across a chessboard',
  'a market street in the rain, neon signs',
  'a dragon the size of a sparrow',
  'a desert with one green door',
  'a cup of tea and a window full of snow',
  'a whale above the clouds',
  "a child's drawing of a submarine",
  'a stone tower covered in ivy, pencil sketch',
  'an owl wearing reading glasses',
  'a field of sunflowers at noon, wide angle',
  'a typewriter whose keys are mushrooms',
  'a cat looking at the sea',
  'the word HELLO written in pebbles',
  'a treehouse village connected by ropes',
  'a spoon reflecting a birthday party',
  'a greenhouse on a space station',
  'an empty theatre with one lit chair',
  'a fox and a crane having dinner, woodcut',
  'a suitcase full of fog',
  'a bear fishing in a waterfall, long exposure',
  'a pyramid of oranges at a fruit stand',
  'a map of an island shaped like a hand',
  'a windmill among tulips, in the style of a postage stamp',
  'a diver meeting a giant octopus',
  'a street musician with a golden trumpet',
  'a castle made of playing cards',
  'a macro photograph of a snowflake',
  'a hot air balloon shaped like a pear',
  'an abandoned tram overgrown with flowers',
  'a penguin waiting at a bus stop',
  "a potter's hands shaping wet clay",
];

export interface DemoPrompt {
  prompt: string;
  seed: number;
  /** What makes it hard to draw; decides how large a GPU it asks for. */
  challenge: string;
}

export interface DemoPrompts {
  /** Where they come from, in words. */
  source: string;
  prompts: DemoPrompt[];
}

/** A tab-separated file with a header row. Quotes in it are quotes. */
function readTable(text: string): Map<string, string>[] {
  const [head = [], ...rows] = text
    .split(/\r?\n/)
    .filter(line => line !== '')
    .map(line => line.split('\t'));
  return rows.map(row => new Map(head.map((name, i) => [name, row[i] ?? ''])));
}

export async function readPrompts(): Promise<DemoPrompts> {
  const text = await readFile(FILE, 'utf8').catch(() => undefined);
  if (text === undefined) {
    const challenges = ['Basic', 'Basic', 'Fine-grained Detail', 'Basic', 'Complex', 'Basic'];
    const prompts = Array.from({ length: OWN.length * SEEDS_OF_OWN }, (_, i) => ({
      prompt: OWN[i % OWN.length] as string,
      seed: Math.floor(i / OWN.length) + 1,
      challenge: challenges[i % challenges.length] as string,
    }));
    return { source: `${OWN.length} prompts of our own, each with ${SEEDS_OF_OWN} seeds`, prompts };
  }
  const prompts = readTable(text).map((row, i) => ({
    prompt: row.get('Prompt') ?? '',
    seed: i + 1,
    challenge: row.get('Challenge') ?? '',
  }));
  return { source: 'PartiPrompts', prompts };
}
