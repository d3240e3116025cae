/**
 * Device families, as their documentation describes their topics and payloads. To add one, add an entry: `check --listen`, `init`
 * and the documentation take it from here. A topic belongs to the first entry that fits.
 */
import { asked, type Family, type FamilyTopic } from './family.ts';
import {
  CELSIUS,
  counter,
  FAHRENHEIT,
  flow,
  gauge,
  HPA,
  OUT,
  PERCENT,
  type Quantity,
  signedFlow,
} from './quantities.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;
const VOLT: Quantity = { ...gauge('V', 0, 1500), minStepMs: 0 };
const HERTZ: Quantity = { ...gauge('Hz', 0, 1000), minStepMs: 0 };
const FACTOR = gauge(null, -1, 1);
/** A gas or water meter is read hourly by many smart meters. */
const METER_M3 = counter('m³', HOUR);

type Field = readonly [glob: string, quantity: Quantity | null];

const words = (text: string): string[] => text.trim().split(/\s+/);

/** A row lists the names of one quantity, separated by blanks. The first name that fits a field counts. */
const fields = (...rows: readonly Field[]): readonly Field[] =>
  rows.flatMap(([names, quantity]) => words(names).map((name) => [name, quantity] as const));

const ZIGBEE2MQTT: Family = {
  name: 'Zigbee2MQTT',
  topics: [
    { template: '<base>/{device}', payloads: ['zigbee2mqtt'], where: { device: /^(?!bridge$)/ } },
    {
      template: '<base>/{group}/{device}',
      payloads: ['zigbee2mqtt'],
      where: { group: /^(?!bridge$)/, device: /^(?!(?:availability|set|get)$)/ },
    },
    {
      template: '<base>/{site}/{group}/{device}',
      payloads: ['zigbee2mqtt'],
      where: { site: /^(?!bridge$)/, device: /^(?!(?:availability|set|get)$)/ },
    },
  ],
  ignore: words(`
    zigbee2mqtt/bridge/# +/bridge/state +/bridge/info +/bridge/health +/bridge/devices +/bridge/groups
    +/bridge/definitions +/bridge/extensions +/bridge/converters +/bridge/config +/bridge/event
    +/bridge/logging +/bridge/response/# zigbee2mqtt/+/availability zigbee2mqtt/+/+/availability
    zigbee2mqtt/+/set/#
  `),
  fields: fields(
    ['linkquality', OUT],
    ['power_factor', FACTOR],
    ['power_reactive*', signedFlow('var')],
    ['power_apparent*', flow('VA')],
    ['produced_energy *_summ_delivered *_summ_received', counter('kWh')],
    ['device_temperature local_temperature', CELSIUS],
    ['*_setpoint illuminance_lux', OUT],
    ['position pi_heating_demand', PERCENT],
    ['voc_index', gauge(null, 0)],
    ['water_consumed', counter(null)],
  ),
  knownOnly: true,
};

const TASMOTA: Family = {
  name: 'Tasmota',
  topics: [
    { template: 'tele/{device}/SENSOR', payloads: ['json'] },
    { template: '{device}/tele/SENSOR', payloads: ['json'] },
    { template: 'tele/{group}/{device}/SENSOR', payloads: ['json'] },
    { template: '<root>/{device}/tele/SENSOR', payloads: ['json'] },
  ],
  ignore: words(`
    tele/+/STATE tele/+/LWT tele/+/INFO* tele/+/UPTIME tele/+/RESULT stat/+/POWER* stat/+/STATUS*
    stat/+/RESULT cmnd/# +/tele/STATE +/tele/INFO* +/stat/POWER* +/stat/STATUS* +/stat/RESULT
    tele/+/+/STATE tele/+/+/INFO* stat/+/+/POWER* stat/+/+/STATUS* stat/+/+/RESULT tasmota/discovery/#
  `),
  fields: fields(
    ['ENERGY.Total ENERGY.Total.* ENERGY.ExportActive* ENERGY.ImportActive*', counter('kWh')],
    ['ENERGY.Power ENERGY.Power.*', flow('W')],
    ['ENERGY.ApparentPower*', flow('VA')],
    ['ENERGY.ReactivePower*', signedFlow('var')],
    ['ENERGY.Factor*', FACTOR],
    ['ENERGY.Voltage*', VOLT],
    ['ENERGY.Current*', flow('A')],
    ['ENERGY.Frequency*', HERTZ],
    // Today's total is the same energy again; the others are of the past.
    ['ENERGY.*', OUT],
    ['COUNTER.*', counter(null)],
    ['ANALOG.A* ANALOG.Range*', gauge(null)],
    ['*.Id', OUT],
    ['*.Total_in *.Total_out *.E_in *.E_out', counter('kWh')],
    ['*.Power_curr *.Power_cur *.Power *.P', signedFlow('W')],
    ['*.CarbonDioxide', gauge('ppm', 0, 50_000)],
    ['*.PM2.5', gauge('µg/m³', 0, 5000)],
    // a lightning sensor: its energy has no unit, and its event is a code
    ['AS3935.Distance', gauge('km', 0)],
    ['AS3935.*', OUT],
    ['*.Distance', gauge('cm', 0)],
    ['*.Gas', gauge('kΩ', 0)],
    ['*.Endpoint *.LinkQuality', OUT],
  ),
  usualMs: 5 * MINUTE,
};

const SHELLY_1: Family = {
  name: 'Shelly (first generation)',
  topics: [
    {
      template: 'shellies/{device}/<part>/{channel}/<quantity>',
      where: { part: /^(?:relay|light|roller|dimmer|white|color)$/, quantity: /^(?:power|energy)$/ },
      payloads: ['number'],
      name: '{device}/<part>/{channel}/<quantity>',
    },
    {
      template: 'shellies/{device}/emeter/{channel}/<quantity>',
      where: { quantity: /^(?:power|reactive_power|voltage|current|pf|total|total_returned)$/ },
      payloads: ['number'],
      // A connection to the grid runs both ways.
      fields: [['power', signedFlow('W')]],
      name: '{device}/emeter/{channel}/<quantity>',
    },
    {
      template: 'shellies/{device}/emeter/{channel}/<quantity>',
      where: { quantity: /^(?:energy|returned_energy)$/ },
      payloads: ['number'],
      name: '{device}/emeter/{channel}/<quantity>',
      unless: 'shellies/{device}/emeter/{channel}/total',
    },
    {
      template: 'shellies/{device}/sensor/<quantity>',
      where: { quantity: /^(?:temperature|humidity|battery|lux|concentration)$/ },
      payloads: ['number'],
      name: '{device}/<quantity>',
    },
    {
      template: 'shellies/{device}/<quantity>',
      where: { quantity: /^(?:temperature|voltage|power|humidity|battery)$/ },
      payloads: ['number'],
      name: '{device}/<quantity>',
    },
    {
      template: 'shellies/{device}/<quantity>/{channel}',
      where: { quantity: /^ext_(?:temperature|humidity)$/ },
      payloads: ['number'],
      name: '{device}/<quantity>/{channel}',
    },
  ],
  ignore: ['shellies/#'],
  fields: fields(
    ['power', flow('W')],
    ['energy returned_energy', counter('Wmin')],
    ['total total_returned', counter('Wh')],
    ['reactive_power', signedFlow('var')],
    ['voltage', VOLT],
    ['current', flow('A')],
    ['pf', FACTOR],
    ['concentration', gauge('ppm', 0)],
    ['ext_temperature', CELSIUS],
    ['ext_humidity', PERCENT],
  ),
  usualMs: MINUTE,
};

const SHELLY_COMPONENT =
  /^(?:switch|pm1|em|em1|emdata|em1data|temperature|humidity|cover|light|rgbw?|cct|voltmeter|illuminance|devicepower|flood|pill|input|thermostat|blutrv|bthomesensor|bthomedevice):\d+$/;

const SHELLY_2: Family = {
  name: 'Shelly (second generation and later)',
  topics: ['', '<root>/'].flatMap((root): FamilyTopic[] => [
    {
      template: `${root}{device}/status/<component>`,
      where: { component: SHELLY_COMPONENT },
      payloads: ['json'],
      name: '{device}/<component>/{field}',
    },
    {
      template: `${root}{device}/events/rpc`,
      payloads: ['json'],
      has: ['method'],
      within: 'params',
      name: '{device}/{field}',
      unless: `${root}{device}/status/+`,
    },
  ]),
  ignore: words(`
    +/status/sys +/status/wifi +/status/cloud +/status/mqtt +/status/ble +/+/status/sys +/+/status/wifi
  `),
  fields: fields(
    ['*by_minute* *minute_ts', OUT],
    [
      '*ret_aenergy.total *aenergy.total *total_act_ret_energy *total_act_energy total_act_ret total_act',
      counter('Wh'),
    ],
    // a solar panel behind a plug makes it negative
    ['*apower', signedFlow('W')],
    ['*act_power', signedFlow('W')],
    ['*aprt_power', flow('VA')],
    ['*current', flow('A')],
    ['*voltage', VOLT],
    ['*freq', HERTZ],
    ['*pf', FACTOR],
    ['*tC current_C', CELSIUS],
    ['pos', PERCENT],
    ['*tF', OUT],
    ['*rh', PERCENT],
    ['*lux', gauge('lx', 0, 200_000)],
    ['*battery.percent battery', PERCENT],
    // a pulse counter, and the measurements of Bluetooth sensors, whose quantity is not in the message
    ['*counts.total', counter(null)],
    ['value', gauge(null)],
    ['*battery.V', gauge('V', 0, 60)],
  ),
  listedOnly: true,
  usualMs: MINUTE,
};

/** Statestream and ESPHome share the form `<base>/sensor/<name>/state`. */
const isStatestream = (parts: ReadonlyMap<string, string>, topics: ReadonlySet<string>): boolean => {
  const base = parts.get('base') ?? '';
  if (/^(?:homeassistant|hass|ha|home-assistant)$|statestream|state_stream/i.test(base)) return true;
  if (topics.has(`${base}/status`) || topics.has(`${base}/debug`)) return false;
  return asked(topics, `statestream ${base}`, () => {
    for (const topic of topics)
      if (topic.startsWith(`${base}/`) && HOME_ASSISTANT_TOPIC.test(topic.slice(base.length))) return true;
    return false;
  });
};

/** Domains and attributes that Home Assistant publishes, and ESPHome does not. */
const HOME_ASSISTANT_TOPIC =
  /^\/(?:sun|weather|person|zone|automation|input_\w+|device_tracker|media_player|sensor\/[^/]+\/(?:last_changed|last_updated|friendly_name|unit_of_measurement|device_class|state_class))(?:\/|$)/;

const STATESTREAM: Family = {
  name: 'Home Assistant statestream',
  topics: ['<base>', '<base...>'].map((base) => ({
    template: `${base}/sensor/<entity>/state`,
    payloads: ['number', 'homeassistant'],
    payload: 'homeassistant',
    name: '<entity>',
    when: isStatestream,
  })),
  ignore: ['homeassistant/#'],
};

const ESPHOME: Family = {
  name: 'ESPHome',
  topics: [
    { template: '{device}/sensor/<sensor>/state', payloads: ['number'], name: '{device}/<sensor>' },
    { template: '<root>/{device}/sensor/<sensor>/state', payloads: ['number'], name: '{device}/<sensor>' },
  ],
  ignore: words(`
    +/binary_sensor/+/state +/switch/+/state +/light/+/state +/number/+/state +/text_sensor/+/state
    +/+/binary_sensor/+/state +/+/switch/+/state +/+/number/+/state
  `),
  fields: fields(
    ['energy_delivered* energy_returned*', counter('kWh')],
    ['gas_delivered* water_delivered*', METER_M3],
    ['power_delivered* power_returned*', flow('kW')],
  ),
  usualMs: MINUTE,
};

/** Names under which DSMR-reader, ESPHome, DSMR-logger and P1 readers publish the telegram of a Dutch or Belgian meter. */
const DSMR_NAMES = fields(
  ['electricity_delivered_* electricity_returned_*', counter('kWh')],
  ['electricity_currently_* phase_currently_*', flow('kW')],
  ['phase_voltage_*', VOLT],
  ['phase_power_current_*', flow('A')],
  ['extra_device_delivered', METER_M3],
  ['energy_delivered_tariff* energy_returned_tariff*', counter('kWh')],
  ['power_delivered* power_returned*', flow('kW')],
  ['voltage_l*', VOLT],
  ['current_l*', flow('A')],
  ['gas_delivered* water_delivered*', METER_M3],
  ['total_power_import*_kwh total_power_export*_kwh', counter('kWh')],
  ['active_power*_w', signedFlow('W')],
  ['active_voltage*_v', VOLT],
  ['active_current*_a', signedFlow('A')],
  ['total_gas_m3 total_liter_m3', METER_M3],
  ['consumption_*_tarif returndelivery_*_tarif', counter('Wh')],
  ['actual_consumption actual_returndelivery l*_instant_power_usage', flow('W')],
  ['l*_voltage', VOLT],
  ['gas_meter_m3', METER_M3],
  // OBIS codes, as in the telegram itself
  ['*-*:1.8.* *-*:2.8.*', counter('kWh')],
  ['*-*:1.7.* *-*:2.7.*', flow('kW')],
  ['*-*:24.2.*', METER_M3],
);
const DSMR_QUANTITY = new RegExp(
  `^(?:${DSMR_NAMES.map(([glob]) => glob.replaceAll(/[.?-]/g, '\\$&').replaceAll('*', '\\w*')).join('|')})$`,
);

const DSMR: Family = {
  name: 'DSMR / P1',
  topics: [
    {
      template: '<path...>/<quantity>',
      where: {
        quantity: DSMR_QUANTITY,
        path: /(?:^|[/_-])(?:dsmr|p1|slimmemeter|smartmeter|meter|reading)|p1|dsmr/i,
      },
      payloads: ['number'],
      name: '<path>/<quantity>',
    },
    {
      template: '<path...>',
      payloads: ['json', 'text'],
      has: DSMR_NAMES.map(([glob]) => glob),
      hasAtLeast: 2,
    },
    {
      template: '<root>/consumption/gas/<quantity>',
      where: { quantity: /^delivered$/ },
      payloads: ['number'],
      name: '<root>/gas/<quantity>',
    },
  ],
  ignore: words(`
    dsmr/reading/# dsmr/day-consumption/# dsmr/meter-stats/# dsmr/current-month/# dsmr/current-year/#
    dsmr/consumption/#
  `),
  fields: fields(
    ...DSMR_NAMES,
    ['delivered', METER_M3],
    ['*tarif* *_count *failure* *_sag* *_swell* *wifi*', OUT],
  ),
  knownOnly: true,
  usualMs: 10_000,
};

const AMS_NAMES = fields(
  ['P PO P1 P2 P3 PO1 PO2 PO3', flow('W')],
  ['Q QO', flow('var')],
  ['I1 I2 I3', flow('A')],
  ['U1 U2 U3', VOLT],
  ['PF PF1 PF2 PF3', FACTOR],
  ['tPI tPO', counter('kWh')],
  ['tQI tQO', counter('kvarh')],
);

/** Readers of the HAN port of Nordic meters. */
const AMS: Family = {
  name: 'AMS reader',
  topics: ['', 'data.'].map((within) => ({
    template: '<path...>',
    payloads: ['json'],
    // `P`, `I1` and `U1` are names of any meter
    has: words('PO QO tPI tPO tQI tQO').map((name) => `${within}${name}`),
    hasAtLeast: 2,
  })),
  fields: AMS_NAMES.flatMap(([name, quantity]): Field[] => [
    [name, quantity],
    [`data.${name}`, quantity],
  ]),
  listedOnly: true,
  usualMs: 10_000,
};

const OPENDTU: Family = {
  name: 'OpenDTU',
  topics: [
    {
      template: '<base...>/{serial}/{channel}/<quantity>',
      where: {
        serial: /^1\d{11}$/,
        channel: /^\d$/,
        quantity:
          /^(?:power|powerdc|voltage|current|frequency|temperature|powerfactor|reactivepower|efficiency|irradiation|yieldtotal)$/,
      },
      payloads: ['number'],
      name: '{serial}/{channel}/<quantity>',
    },
  ],
  // The yield of the day is the total again.
  ignore: words('solar/+/+/yieldday solar/ac/yieldday solar/+/device/+ solar/+/radio/+ solar/dtu/#'),
  fields: fields(['yieldtotal', counter('kWh')], ['efficiency irradiation', PERCENT]),
  usualMs: 5000,
};

const AHOYDTU: Family = {
  name: 'AhoyDTU',
  topics: ['{inverter}/{channel}', '<total>'].map((device) => ({
    template: `<base...>/${device}/<quantity>`,
    where: {
      channel: /^ch\d$/,
      total: /^total$/,
      quantity: /^(?:[UIPQF]_[AD]C|PF_AC|Temp|Efficiency|Irradiation|YieldTotal)$/,
    },
    payloads: ['number'],
    name: `${device}/<quantity>`,
  })),
  ignore: words('inverter/+/+/YieldDay inverter/total/YieldDay inverter/comm_start inverter/comm_stop'),
  fields: fields(['YieldTotal', counter('kWh')], ['Efficiency Irradiation', PERCENT]),
  usualMs: 15_000,
};

const EMS_ESP: Family = {
  name: 'EMS-ESP',
  topics: [{ template: 'ems-esp/{device}', payloads: ['json'], where: { device: /^(?!heartbeat$|info$)/ } }],
  ignore: words('ems-esp/heartbeat ems-esp/info ems-esp/status ems-esp/+/+'),
  fields: fields(
    [
      '*seltemp *selflowtemp *settemp *daytemp *nighttemp *holidaytemp *autotemp *designtemp *summertemp *offtemp',
      OUT,
    ],
    ['nompower servicecodenumber *flowtempoffset *lasthour *today', OUT],
    ['*temp', CELSIUS],
    ['*starts', counter(null)],
    ['*workmin *workm', counter('min')],
    ['*nrg* *meter* *energytotal', counter('kWh')],
    ['*pumpmod *burnpow', PERCENT],
    ['*syspress', gauge('bar', 0, 10)],
    ['*flamecurr', gauge('µA', 0)],
    ['*curflow', flow('L/min')],
  ),
  knownOnly: true,
  usualMs: MINUTE,
};

const EVCC: Family = {
  name: 'evcc',
  topics: [
    {
      template: 'evcc/site/<quantity>',
      payloads: ['number'],
      where: { quantity: /^(?:\w+Power|\w+Energy|\w+Soc|tariff\w+)$/ },
      name: 'site/<quantity>',
    },
    {
      template: 'evcc/site/<part>/<quantity>',
      payloads: ['number'],
      where: { part: /^(?:grid|pv|battery)$/, quantity: /^(?:power|energy|soc)$/ },
      name: 'site/<part>/<quantity>',
    },
    {
      template: 'evcc/site/<part>/{index}/<quantity>',
      payloads: ['number'],
      where: { part: /^(?:pv|battery|aux)$/, quantity: /^(?:power|energy|soc)$/ },
      name: 'site/<part>/{index}/<quantity>',
    },
    {
      template: 'evcc/loadpoints/{loadpoint}/<quantity>',
      payloads: ['number'],
      where: {
        quantity: /^(?:chargePower|chargeTotalImport|chargedEnergy|vehicleSoc|vehicleRange|vehicleOdometer)$/,
      },
      name: 'loadpoints/{loadpoint}/<quantity>',
    },
  ],
  ignore: ['evcc/#'],
  fields: fields(
    ['residualPower prioritySoc buffer*Soc', OUT],
    ['gridPower batteryPower power', signedFlow('W')],
    ['*Power', flow('W')],
    ['*Soc soc', PERCENT],
    ['chargedEnergy', counter('Wh')],
    ['*Energy energy chargeTotalImport', counter('kWh')],
    ['vehicleRange', gauge('km', 0)],
    ['vehicleOdometer', counter('km')],
    ['tariff*', gauge(null)],
  ),
  listedOnly: true,
  usualMs: 10_000,
};

const GO_E_BASES = ['go-eCharger', '/go-eCharger'];

const GO_E: Family = {
  name: 'go-e',
  topics: GO_E_BASES.flatMap((base): FamilyTopic[] => [
    {
      template: `${base}/{serial}/nrg`,
      payloads: ['json', 'text'],
      // voltages of L1 to L3 and N, currents, powers of L1 to L3, N and all, power factors
      fields: fields(
        ['0 1 2 3', VOLT],
        ['4 5 6', flow('A')],
        ['7 8 9 10 11', flow('W')],
        ['12 13 14 15', PERCENT],
      ),
      name: '{serial}/nrg/{field}',
    },
    {
      template: `${base}/{serial}/tma`,
      payloads: ['json', 'text'],
      fields: [['*', CELSIUS]],
      name: '{serial}/tma/{field}',
    },
    {
      template: `${base}/{serial}/<quantity>`,
      where: { quantity: /^(?:eto|wh|fhz)$/ },
      payloads: ['number'],
      name: '{serial}/<quantity>',
    },
  ]),
  ignore: GO_E_BASES.map((base) => `${base}/#`),
  fields: fields(['eto wh', counter('Wh')], ['fhz', HERTZ]),
  listedOnly: true,
  usualMs: 5000,
};

/** Sends tenths of volts, watts and degrees, so the readings have no unit. */
const GROTT: Family = {
  name: 'Grott',
  topics: [
    {
      template: '<path...>',
      payloads: ['json'],
      has: words('values.pvstatus values.pvserial values.datalogserial values.pvpowerin values.pvpowerout'),
      hasAtLeast: 2,
      identity: ['device'],
      within: 'values',
    },
  ],
  fields: fields(
    ['*energytotal *_total *total', counter(null)],
    ['*today *serial *status totworktime', OUT],
    ['*power* *watt *current', flow(null)],
    ['*voltage *frequentie *temperature SOC', gauge(null)],
  ),
  listedOnly: true,
  usualMs: 5 * MINUTE,
};

/** A location or a colour has several numbers: `52.5,13.4`. */
const OPENHAB: Family = {
  name: 'openHAB',
  topics: ['openhab/items', 'openhab/out', 'openHAB/items', 'openHAB/out'].map((base) => ({
    template: `${base}/<entity>/state`,
    payloads: ['number'],
    name: '<entity>',
  })),
  ignore: words('openhab/# openHAB/#'),
};

const ECOWITT: Family = {
  name: 'Ecowitt',
  topics: [
    {
      template: '<path...>',
      payloads: ['text'],
      has: words('stationtype tempf tempinf baromrelin windspeedmph'),
      hasAtLeast: 2,
    },
  ],
  fields: fields(
    ['temp*f', FAHRENHEIT],
    ['baromrelin', gauge('inHg', 15, 35)],
    ['windspeedmph windgustmph', gauge('mph', 0, 270)],
    ['solarradiation', flow('W/m²', 2000)],
    ['rainratein', gauge('in/h', 0)],
    ['totalrainin', counter('in')],
    ['soilmoisture*', PERCENT],
    ['pm25_ch*', gauge('µg/m³', 0, 5000)],
    ['*rainin baromabsin *batt* maxdailygust *avg*', OUT],
  ),
  knownOnly: true,
  usualMs: MINUTE,
};

const VICTRON: Family = {
  name: 'Victron',
  topics: [
    {
      template: 'N/{portal}/<service>/{instance}/<quantity...>',
      where: {
        service:
          /^(?:battery|system|solarcharger|vebus|multi|grid|pvinverter|inverter|charger|alternator|acload|acsystem|genset|dcload|dcsource|evcharger|tank|temperature|meteo)$/,
        quantity: /^(?!History\/|Settings\/|Alarms\/|Info\/|Mgmt\/)/,
      },
      payloads: ['json'],
      value: 'value',
      name: '{portal}/<service>/{instance}/<quantity>',
      device: '{portal}/<service>/{instance}',
    },
  ],
  ignore: ['N/#', 'R/#', 'W/#'],
  fields: fields(
    ['*Soc *Soh Level', PERCENT],
    ['Remaining', gauge('m³', 0)],
    ['*Dc/Pv/Power *PvOn*/Power Yield/Power', flow('W')],
    ['Yield/System Yield/User', counter('kWh')],
    ['Pv/V', VOLT],
    ['Pv/I', flow('A')],
    ['Pv/*/P', flow('W')],
    ['Pv/*/V', VOLT],
    ['Pv/*/I', flow('A')],
    ['*Energy/Forward *Energy/Reverse Energy/*', counter('kWh')],
    ['*Power', signedFlow('W')],
    ['*Voltage', VOLT],
    ['*Current', signedFlow('A')],
    ['Dc/*/Temperature *Temperature', CELSIUS],
    ['Humidity', PERCENT],
    ['Pressure', HPA],
    ['Ac/*/P', signedFlow('W')],
    ['Ac/*/S', signedFlow('VA')],
    ['Ac/*/V', VOLT],
    ['Ac/*/I', signedFlow('A')],
    ['Ac/*/F Ac/Frequency', HERTZ],
    ['ConsumedAmphours', gauge('Ah')],
    ['Irradiance', flow('W/m²')],
    ['WindSpeed', gauge('m/s', 0, 120)],
  ),
  listedOnly: true,
  usualMs: 10_000,
};

const RADIO_FIELDS = fields(
  ['temperature_C temperature_*_C', CELSIUS],
  ['temperature_F', FAHRENHEIT],
  ['humidity* moisture', PERCENT],
  ['battery_ok', OUT],
  ['battery_mV', gauge('mV', 0)],
  ['battery_V', gauge('V', 0)],
  ['rain_mm', counter('mm')],
  ['rain_in', counter('in')],
  ['strike_count', counter(null)],
  ['strike_distance storm_dist*', gauge('km', 0)],
  ['depth_cm', gauge('cm', 0)],
  ['energy_kWh', counter('kWh')],
  ['consumption_data Consumption consumption LastConsumptionCount', counter(null)],
  ['light_lux', gauge('lx', 0, 200_000)],
  ['freq* noise rssi snr', OUT],
);

const RADIO_QUANTITY =
  /_(?:C|F|hPa|kPa|PSI|km_h|m_s|mi_h|mm|in|deg|lux|W|kWh|V|mV|A|ppm|m3|cm)$|^(?:humidity|moisture|uvi?|strike_count)/;

const RTL_433: Family = {
  name: 'rtl_433',
  topics: [
    {
      template: 'rtl_433/{host}/events',
      payloads: ['json'],
      has: ['model'],
      identity: ['model', 'id', 'channel'],
      shared: true,
    },
    {
      template: '<path...>/events',
      payloads: ['json'],
      has: ['model'],
      identity: ['model', 'id', 'channel'],
    },
    ...['{model}', '{model}/{id}', '{model}/{channel}/{id}', '{type}/{model}/{channel}/{id}'].map((path) => ({
      template: `rtl_433/{host}/devices/${path}/<quantity>`,
      where: { quantity: RADIO_QUANTITY },
      payloads: ['number'] as const,
      name: `${path.replace('{type}/', '').replaceAll('/', '-')}/<quantity>`,
      shared: true,
      unless: 'rtl_433/+/events',
    })),
    {
      template: '<path...>',
      payloads: ['json'],
      has: [
        'model',
        'mic',
        'temperature_C',
        'temperature_F',
        'rain_mm',
        'wind_avg_km_h',
        'wind_avg_m_s',
        'battery_ok',
        'moisture',
      ],
      hasAtLeast: 3,
      where: { path: /^(?!.*toMQTT)/ },
      identity: ['model', 'id', 'channel'],
    },
  ],
  ignore: ['rtl_433/#'],
  fields: RADIO_FIELDS,
  knownOnly: true,
  usualMs: MINUTE,
};

const GATEWAY_FIELDS = fields(
  ...RADIO_FIELDS,
  ['tempc*', CELSIUS],
  ['tempf*', FAHRENHEIT],
  ['hum batt', PERCENT],
  ['volt', gauge('V', 0, 100)],
  ['lux', gauge('lx', 0, 200_000)],
  ['moi', PERCENT],
  ['fer', gauge('µS/cm', 0)],
  ['pres', HPA],
  ['weight', gauge('kg', 0)],
  ['distance txpower', OUT],
  ['steps', counter(null)],
);

const OPENMQTTGATEWAY: Family = {
  name: 'OpenMQTTGateway',
  topics: [
    {
      template: '<root>/{gateway}/BTtoMQTT/{device}',
      payloads: ['json'],
      name: '{device}/{field}',
      shared: true,
    },
    {
      template: '<root>/{gateway}/BTtoMQTT',
      payloads: ['json'],
      has: ['id'],
      identity: ['id'],
      shared: true,
    },
    {
      template: '<root>/{gateway}/RTL_433toMQTT/#',
      payloads: ['json'],
      has: ['model'],
      identity: ['model', 'id', 'channel'],
      shared: true,
    },
    {
      template: '<root>/{gateway}/<module>',
      where: {
        module: /^(?:DHT|CLIMA|BH1750|BME280|AHTx0|HTU21|ADC|DS1820|TSL2561|SHTC3|INA226|LORA)toMQTT$/,
      },
      payloads: ['json'],
      name: '{gateway}/<module>/{field}',
    },
  ],
  ignore: words(`
    +/+/SYStoMQTT +/+/433toMQTT +/+/IRtoMQTT +/+/RFtoMQTT +/+/PilighttoMQTT +/+/BTtoMQTT/# +/+/WebUItoMQTT
    +/+/OTAtoMQTT +/+/RTL_433toMQTT/#
  `),
  fields: GATEWAY_FIELDS,
  knownOnly: true,
  usualMs: MINUTE,
};

const CHIRPSTACK: Family = {
  name: 'ChirpStack',
  topics: [
    {
      template: 'application/{application}/device/{eui}/event/up',
      payloads: ['json'],
      has: ['objectJSON.*'],
      within: 'objectJSON',
      name: '{eui}/{field}',
    },
    {
      template: 'application/{application}/device/{eui}/event/up',
      payloads: ['json'],
      within: 'object',
      name: '{eui}/{field}',
      time: 'time',
    },
    {
      template: 'application/{application}/device/{eui}/rx',
      payloads: ['json'],
      within: 'object',
      name: '{eui}/{field}',
    },
    {
      template: 'application/{application}/device/{eui}/event/status',
      payloads: ['json'],
      has: ['batteryLevel'],
      name: '{eui}/{field}',
    },
  ],
  ignore: words(`
    application/# gateway/+/event/# gateway/+/state/# +/gateway/+/event/# +/gateway/+/state/#
  `),
  fields: [
    ['batteryLevel', PERCENT],
    ['margin', OUT],
  ],
  usualMs: 15 * MINUTE,
};

const THE_THINGS_STACK: Family = {
  name: 'The Things Stack',
  topics: [
    {
      template: 'v3/{application}/devices/{device}/up',
      payloads: ['json'],
      within: 'uplink_message.decoded_payload',
      name: '{device}/{field}',
      time: 'received_at',
    },
  ],
  ignore: ['v3/+/devices/#'],
  usualMs: 15 * MINUTE,
};

const SPARKPLUG: Family = {
  name: 'Sparkplug B',
  topics: [{ template: 'spBv1.0/#', payloads: ['sparkplug'] }],
  fields: [
    ['Node Info/*', OUT],
    ['Device Info/*', OUT],
    ['Properties/*', OUT],
  ],
};

export const FAMILIES: readonly Family[] = [
  ZIGBEE2MQTT,
  SPARKPLUG,
  // Before the first generation: a device may have a topic below `shellies/`.
  SHELLY_2,
  SHELLY_1,
  VICTRON,
  OPENMQTTGATEWAY,
  CHIRPSTACK,
  THE_THINGS_STACK,
  TASMOTA,
  OPENDTU,
  AHOYDTU,
  EMS_ESP,
  EVCC,
  GO_E,
  GROTT,
  OPENHAB,
  AMS,
  ECOWITT,
  DSMR,
  STATESTREAM,
  ESPHOME,
  RTL_433,
];
