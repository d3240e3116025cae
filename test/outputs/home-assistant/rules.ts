/**
 * What Home Assistant's MQTT integration accepts in a device discovery message, from its documentation and its sources as of
 * 2024.11: keys by platform, units by device class, which keys go together. Own list, so that the product is not its own judge.
 */

const SHARED = ['availability', 'availability_mode', 'qos', 'encoding', 'state_topic', 'command_topic'];
const ENTITY = [
  'p',
  'unique_id',
  'name',
  'icon',
  'entity_category',
  'enabled_by_default',
  'json_attributes_topic',
  'json_attributes_template',
  'object_id',
  ...SHARED,
];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  sensor: [
    ...ENTITY,
    'device_class',
    'expire_after',
    'force_update',
    'options',
    'suggested_display_precision',
    'state_class',
    'unit_of_measurement',
    'value_template',
  ].filter((key) => key !== 'command_topic'),
  binary_sensor: [
    ...ENTITY,
    'device_class',
    'expire_after',
    'force_update',
    'off_delay',
    'payload_on',
    'payload_off',
    'value_template',
  ].filter((key) => key !== 'command_topic'),
  button: [...ENTITY, 'device_class', 'command_template', 'payload_press', 'retain'].filter(
    (key) => key !== 'state_topic',
  ),
};
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  sensor: ['unique_id', 'name', 'state_topic'],
  binary_sensor: ['unique_id', 'name', 'state_topic'],
  button: ['unique_id', 'name', 'command_topic'],
};
/** A sensor may not be configuration. */
const CATEGORIES: Readonly<Record<string, readonly string[]>> = {
  sensor: ['diagnostic'],
  binary_sensor: ['diagnostic'],
  button: ['diagnostic', 'config'],
};

const MASS = ['µg/m³'];
/** Units by device class; '' is none. */
export const SENSOR_UNITS: Readonly<Record<string, readonly string[]>> = {
  timestamp: [''],
  apparent_power: ['VA'],
  atmospheric_pressure: ['cbar', 'bar', 'hPa', 'mmHg', 'inHg', 'kPa', 'mbar', 'Pa', 'psi'],
  battery: ['%'],
  carbon_dioxide: ['ppm'],
  carbon_monoxide: ['ppm'],
  current: ['A', 'mA'],
  data_rate: [
    'bit/s',
    'kbit/s',
    'Mbit/s',
    'Gbit/s',
    'B/s',
    'kB/s',
    'MB/s',
    'GB/s',
    'KiB/s',
    'MiB/s',
    'GiB/s',
  ],
  data_size: ['bit', 'kbit', 'Mbit', 'Gbit', 'B', 'kB', 'MB', 'GB', 'TB', 'PB', 'KiB', 'MiB', 'GiB', 'TiB'],
  distance: ['km', 'm', 'cm', 'mm', 'mi', 'nmi', 'yd', 'ft', 'in'],
  duration: ['d', 'h', 'min', 's', 'ms'],
  energy: ['Wh', 'kWh', 'MWh', 'MJ', 'GJ'],
  frequency: ['Hz', 'kHz', 'MHz', 'GHz'],
  gas: ['m³', 'ft³', 'CCF'],
  humidity: ['%'],
  illuminance: ['lx'],
  irradiance: ['W/m²', 'BTU/(h⋅ft²)'],
  moisture: ['%'],
  nitrogen_dioxide: MASS,
  ozone: MASS,
  pm1: MASS,
  pm10: MASS,
  pm25: MASS,
  power: ['W', 'kW'],
  power_factor: ['%', ''],
  precipitation: ['cm', 'in', 'mm'],
  precipitation_intensity: ['in/d', 'in/h', 'mm/d', 'mm/h'],
  pressure: ['cbar', 'bar', 'hPa', 'mmHg', 'inHg', 'kPa', 'mbar', 'Pa', 'psi'],
  reactive_power: ['var'],
  signal_strength: ['dB', 'dBm'],
  sound_pressure: ['dB', 'dBA'],
  speed: ['ft/s', 'in/d', 'in/h', 'km/h', 'kn', 'm/s', 'mph', 'mm/d', 'mm/h'],
  sulphur_dioxide: MASS,
  temperature: ['°C', '°F', 'K'],
  volatile_organic_compounds: MASS,
  volatile_organic_compounds_parts: ['ppm', 'ppb'],
  voltage: ['V', 'mV'],
  volume_flow_rate: ['m³/h', 'ft³/min', 'L/min', 'gal/min'],
  volume_storage: ['L', 'mL', 'gal', 'fl. oz.', 'm³', 'ft³', 'CCF'],
  water: ['L', 'gal', 'm³', 'ft³', 'CCF'],
  weight: ['kg', 'g', 'mg', 'µg', 'oz', 'lb', 'st'],
  wind_speed: ['ft/s', 'km/h', 'kn', 'm/s', 'mph'],
};

type Json = Readonly<Record<string, unknown>>;
const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What Home Assistant would refuse or warn of in a message; empty: nothing. */
export function problemsOf(topic: string, config: Json): string[] {
  const problems: string[] = [];
  const wrong = (text: string): void => void problems.push(text);
  if (!/^[^/+#]+\/device\/[A-Za-z0-9_-]+\/config$/.test(topic)) wrong(`topic ${topic}`);
  const root = ['dev', 'o', 'cmps', ...SHARED];
  for (const key of Object.keys(config)) if (!root.includes(key)) wrong(`root has ${key}`);
  const { dev, o, cmps } = config;
  if (!isJson(dev) || !isJson(o) || !isJson(cmps)) return [...problems, 'dev, o or cmps is missing'];
  const deviceKeys = [
    'ids',
    'cns',
    'cu',
    'name',
    'mf',
    'mdl',
    'mdl_id',
    'hw',
    'sw',
    'sa',
    'sn',
    'via_device',
  ];
  for (const key of Object.keys(dev)) if (!deviceKeys.includes(key)) wrong(`dev has ${key}`);
  if (!Array.isArray(dev.ids) || dev.ids.length === 0) wrong('dev has no ids');
  if (typeof dev.name !== 'string' || dev.name === '') wrong('dev has no name');
  if (dev.cu !== undefined && !/^(?:https?|homeassistant):\/\/[^/]/.test(String(dev.cu))) wrong('dev.cu');
  for (const key of Object.keys(o)) if (!['name', 'sw', 'url'].includes(key)) wrong(`o has ${key}`);
  if (typeof o.name !== 'string') wrong('o has no name');
  if (o.url !== undefined && !URL.canParse(String(o.url))) wrong('o.url is no URL');
  availability(config, wrong);
  for (const [id, component] of Object.entries(cmps)) {
    if (!isJson(component)) wrong(`${id} is no object`);
    else for (const text of componentProblems(component)) wrong(`${id}: ${text}`);
  }
  return problems;
}

function availability(config: Json, wrong: (text: string) => void): void {
  const { availability: list, availability_mode: mode } = config;
  if (list === undefined) return;
  if (!Array.isArray(list)) {
    wrong('availability is no list');
    return;
  }
  for (const one of list as Json[]) {
    for (const key of Object.keys(one))
      if (!['topic', 'value_template', 'payload_available', 'payload_not_available'].includes(key))
        wrong(`availability has ${key}`);
    if (!isTopic(one.topic)) wrong('availability without a topic');
  }
  if (mode !== undefined && !['all', 'any', 'latest'].includes(String(mode))) wrong(`mode ${mode}`);
  if (list.length > 1 && mode === undefined) wrong('several topics, of which the latest alone would count');
}

const isTopic = (value: unknown): boolean =>
  typeof value === 'string' && value !== '' && !/[+#\0]/.test(value) && value.length < 65_536;

function componentProblems(component: Json): string[] {
  const problems: string[] = [];
  const wrong = (text: string): void => void problems.push(text);
  const platform = String(component.p);
  const keys = KEYS[platform];
  if (keys === undefined) return [`platform ${platform}`];
  // A component without settings is taken back.
  if (Object.keys(component).length === 1) return [];
  for (const key of Object.keys(component)) if (!keys.includes(key)) wrong(`${platform} has ${key}`);
  for (const key of REQUIRED[platform] ?? []) if (typeof component[key] !== 'string') wrong(`no ${key}`);
  const { device_class: kind, unit_of_measurement: unit = '', state_class: state } = component;
  for (const key of ['state_topic', 'command_topic', 'json_attributes_topic'])
    if (component[key] !== undefined && !isTopic(component[key])) wrong(`${key} ${component[key]}`);
  const category = component.entity_category;
  if (category !== undefined && !CATEGORIES[platform]?.includes(String(category)))
    wrong(`category ${category}`);
  if (platform === 'binary_sensor' && kind !== undefined && kind !== 'problem') wrong(`class ${kind}`);
  if (platform === 'sensor') {
    if (kind !== undefined) {
      const units = SENSOR_UNITS[String(kind)];
      if (units === undefined) wrong(`class ${kind}`);
      else if (!units.includes(String(unit))) wrong(`class ${kind} with unit ${unit}`);
    }
    const precision = component.suggested_display_precision;
    if (precision !== undefined && !(Number.isInteger(precision) && Number(precision) >= 0))
      wrong(`precision ${precision}`);
    if (kind === 'timestamp' && (precision !== undefined || state !== undefined))
      wrong('a time with a precision or a state class');
    if (state !== undefined && !['measurement', 'total', 'total_increasing'].includes(String(state)))
      wrong(`state class ${state}`);
  }
  if ((component.json_attributes_template !== undefined) !== (component.json_attributes_topic !== undefined))
    wrong('attributes need a topic and, here, a template');
  availability(component, wrong);
  return problems;
}
