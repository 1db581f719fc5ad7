/**
 * Settings are plain data: name, type, default, unit, meaning. Parsing (zod), origin and
 * precedence are pipeline/config's; a step only declares what it reads and gets typed values.
 */
interface SettingBase<Value> {
  readonly description: string;
  /** e.g. 's', 'tokens', '%', 'GB', 'MiB'. */
  readonly unit?: string;
  /** null: unset is allowed, the value is then null. */
  readonly default: Value | null;
  /** How the default reads in tables where it is computed, e.g. `local_<timestamp>`. */
  readonly defaultText?: string;
  /** Older names for the same setting, e.g. CPU_BUFFER_SIZE for L1_SIZE_GB. */
  readonly aliases?: readonly string[];
}
export interface NumberSetting extends SettingBase<number> {
  readonly type: 'integer' | 'number';
  readonly min?: number;
  readonly max?: number;
  /** True: `min` itself is refused. */
  readonly exclusiveMin?: boolean;
}
export interface TextSetting extends SettingBase<string> {
  readonly type: 'text';
  readonly pattern?: RegExp;
  /** The pattern in words, for the error. */
  readonly patternText?: string;
}
export interface PathSetting extends SettingBase<string> {
  /** A leading `~/` is the home directory; relative paths start at the working directory. */
  readonly type: 'path';
}
export interface UrlSetting extends SettingBase<string> {
  readonly type: 'url';
}
export interface FlagSetting extends SettingBase<boolean> {
  /** `1`, `0`, `true`, `false`. */
  readonly type: 'flag';
}
export interface ChoiceSetting extends SettingBase<string> {
  readonly type: 'choice';
  readonly choices: readonly string[];
}
/** Further arguments of a program: one text, parted into words as engines/argument-words.ts says. */
export interface ArgumentsSetting extends SettingBase<string> {
  readonly type: 'arguments';
  /** Options that the launch itself decides; a text that has one is refused. */
  readonly reserved: readonly string[];
}
export interface PortSetting extends SettingBase<number> {
  /** 1 to 65535, or `auto`: a free one is chosen when the run starts. */
  readonly type: 'port';
}

export type SettingDefinition =
  | NumberSetting
  | TextSetting
  | PathSetting
  | UrlSetting
  | FlagSetting
  | ChoiceSetting
  | ArgumentsSetting
  | PortSetting;
export type SettingDefinitions = Readonly<Record<string, SettingDefinition>>;

interface ValueOfType {
  integer: number;
  number: number;
  text: string;
  path: string;
  url: string;
  flag: boolean;
  arguments: string;
  port: number;
}
type ValueOf<Definition extends SettingDefinition> =
  | (Definition extends ChoiceSetting
      ? Definition['choices'][number]
      : Definition['type'] extends keyof ValueOfType
        ? ValueOfType[Definition['type']]
        : never)
  | (Definition['default'] extends null ? null : never);

/** The typed values of a set of definitions; `auto` ports are real numbers by then. */
export type SettingValues<Definitions extends SettingDefinitions> = {
  readonly [Name in keyof Definitions]: ValueOf<Definitions[Name]>;
};

/** Identity, for inference: settings keep their literal types. */
export function defineSettings<const Definitions extends SettingDefinitions>(definitions: Definitions): Definitions {
  return definitions;
}
