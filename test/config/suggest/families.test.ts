/** Each device family: payloads as its devices send them -> suggested rules -> the right streams, and nothing refused. */
import { describe, expect, it } from 'vitest';
import { sparkplug } from '../../ingest/sparkplug-messages.ts';
import { type Heard, START_MS, suggested } from './heard.ts';

const TEN_SECONDS = 10_000;
const TEN_MINUTES = 600_000;
const iso = (at: number, everyMs: number): string => new Date(START_MS + at * everyMs).toISOString();
/** As a clock shows it that is ahead of UTC by two hours. */
const local = (at: number, everyMs: number): string =>
  iso(at, everyMs).length > 0
    ? new Date(START_MS + at * everyMs + 7_200_000).toISOString().slice(0, 19).replace('T', ' ')
    : '';

interface Case {
  readonly messages: (at: number) => readonly Heard[];
  readonly everyMs?: number;
  readonly matches: readonly string[];
  readonly streams: Readonly<Record<string, string>>;
}

const CASES: Readonly<Record<string, Case>> = {
  Zigbee2MQTT: {
    messages: (at) => [
      ['zigbee2mqtt/bridge/state', { state: 'online' }],
      ['zigbee2mqtt/bridge/info', { version: '1.40', config: { mqtt: { keepalive: 60 } } }],
      [
        'zigbee2mqtt/cellar',
        {
          temperature: 4.5 + at,
          humidity: 80,
          battery: 90,
          voltage: 3005,
          linkquality: 120,
          last_seen: iso(at, TEN_SECONDS),
          update: { state: 'idle', installed_version: 1234 },
        },
      ],
      ['zigbee2mqtt/attic', { temperature: -3, humidity: 60, pressure: 1002, battery: 88, linkquality: 30 }],
      [
        'zigbee2mqtt/plug',
        {
          state: 'ON',
          power: 12.3,
          current: 0.1,
          voltage: 231,
          energy: 10.1 + at / 10,
          linkquality: 30,
          power_outage_count: 2,
          child_lock: 'UNLOCK',
        },
      ],
      ['zigbee2mqtt/door', { contact: true, battery: 77, linkquality: 1 }],
      ['zigbee2mqtt/kitchen/lamp', { state: 'OFF', brightness: 200, color_temp: 300, linkquality: 1 }],
      ['zigbee2mqtt/kitchen/air', { co2: 500, voc: 12, pm25: 4, temperature: 21, linkquality: 1 }],
      ['zigbee2mqtt/cellar/availability', { state: 'online' }],
    ],
    matches: ['zigbee2mqtt/plug', 'zigbee2mqtt/{device}', 'zigbee2mqtt/{group}/{device}'],
    streams: {
      'cellar/temperature': '°C mean -60..150 5m/1d',
      'cellar/humidity': '% mean 0..100 5m/1d',
      'cellar/battery': '% mean 0..100 5m/1d',
      'cellar/voltage': 'mV mean 0..1500000 5m/1d',
      'attic/temperature': '°C mean -60..150 5m/1d',
      'attic/humidity': '% mean 0..100 5m/1d',
      'attic/pressure': 'hPa mean 300..1200 5m/1d',
      'attic/battery': '% mean 0..100 5m/1d',
      'plug/voltage': 'V mean 0..1500 5m/1d',
      'plug/power': 'W mean 0.. 5m/1d',
      'plug/current': 'A mean 0.. 5m/1d',
      'plug/energy': 'kWh delta 5m/1d',
      'door/battery': '% mean 0..100 5m/1d',
      'kitchen/air/co2': 'ppm mean 0..50000 5m/1d',
      'kitchen/air/voc': 'ppb mean 0.. 5m/1d',
      'kitchen/air/pm25': 'µg/m³ mean 0..5000 5m/1d',
      'kitchen/air/temperature': '°C mean -60..150 5m/1d',
    },
  },
  Tasmota: {
    messages: (at) => [
      [
        'tele/plug1/SENSOR',
        {
          Time: local(at, TEN_SECONDS).replace(' ', 'T'),
          ENERGY: {
            TotalStartTime: '2023-01-01T00:00:00',
            Total: 3.1 + at / 100,
            Yesterday: 1.1,
            Today: 0.2,
            Period: 3,
            Power: 12,
            ApparentPower: 14,
            ReactivePower: 3,
            Factor: 0.9,
            Voltage: 231,
            Current: 0.05,
          },
        },
      ],
      [
        'tele/plug1/STATE',
        {
          Uptime: '1T02:03:04',
          UptimeSec: 93_784,
          Heap: 27,
          Sleep: 50,
          LoadAvg: 19,
          MqttCount: 1,
          POWER: 'ON',
          Wifi: { AP: 1, RSSI: 100, Signal: -45 },
        },
      ],
      ['tele/plug1/LWT', 'Online'],
      ['stat/plug1/POWER', 'ON'],
      ['stat/plug1/RESULT', { POWER: 'ON' }],
      [
        'tele/weather/SENSOR',
        {
          BME280: { Temperature: 15.5, Humidity: 50.4, DewPoint: 5.3, Pressure: 1002 },
          'DS18B20-1': { Id: '0316A2', Temperature: 20.8 },
          SDS0X1: { 'PM2.5': 3.1, PM10: 5 },
          PressureUnit: 'hPa',
          TempUnit: 'C',
        },
      ],
      ['tele/button/SENSOR', { Switch1: 'ON' }],
    ],
    matches: ['tele/{device}/SENSOR'],
    streams: {
      'plug1/ENERGY.Total': 'kWh delta 5m/1d',
      'plug1/ENERGY.Power': 'W mean 0.. 5m/1d',
      'plug1/ENERGY.ApparentPower': 'VA mean 0.. 5m/1d',
      'plug1/ENERGY.ReactivePower': 'var mean 5m/1d',
      'plug1/ENERGY.Factor': '- mean -1..1 5m/1d',
      'plug1/ENERGY.Voltage': 'V mean 0..1500 5m/1d',
      'plug1/ENERGY.Current': 'A mean 0.. 5m/1d',
      'weather/BME280.Temperature': '°C mean -60..150 5m/1d',
      'weather/BME280.Humidity': '% mean 0..100 5m/1d',
      'weather/BME280.DewPoint': '°C mean -60..150 5m/1d',
      'weather/BME280.Pressure': 'hPa mean 300..1200 5m/1d',
      'weather/DS18B20-1.Temperature': '°C mean -60..150 5m/1d',
      'weather/SDS0X1.PM2.5': 'µg/m³ mean 0..5000 5m/1d',
      'weather/SDS0X1.PM10': 'µg/m³ mean 0..5000 5m/1d',
    },
  },
  'Tasmota with the device first, in Fahrenheit, on three phases': {
    messages: (at) => [
      ['house/tele/SENSOR', { ENERGY: { Total: [10 + at, 20 + at], Power: [-5, 7], Today: [1, 2] } }],
      ['shed/tele/SENSOR', { AM2301: { Temperature: 71.2, Humidity: 40 }, TempUnit: 'F' }],
    ],
    matches: ['{device}/tele/SENSOR'],
    streams: {
      'house/ENERGY.Total.0': 'kWh delta 5m/1d',
      'house/ENERGY.Total.1': 'kWh delta 5m/1d',
      'house/ENERGY.Power.0': 'W mean 5m/1d',
      'house/ENERGY.Power.1': 'W mean 0.. 5m/1d',
      'shed/AM2301.Temperature': '°F mean -76..302 5m/1d',
      'shed/AM2301.Humidity': '% mean 0..100 5m/1d',
    },
  },
  'Shelly, first generation': {
    messages: (at) => [
      ['shellies/shellyplug-s-1/relay/0', 'on'],
      ['shellies/shellyplug-s-1/relay/0/power', '12.5'],
      ['shellies/shellyplug-s-1/relay/0/energy', String(1000 + at)],
      ['shellies/shellyplug-s-1/temperature', '31.2'],
      ['shellies/shellyplug-s-1/temperature_f', '88'],
      ['shellies/shellyplug-s-1/overtemperature', '0'],
      ['shellies/shellyem-2/emeter/0/power', String(-200 + 100 * at)],
      ['shellies/shellyem-2/emeter/0/total', String(1000 + at)],
      ['shellies/shellyem-2/emeter/0/energy', '3'],
      ['shellies/shellyem-2/emeter/0/voltage', '231'],
      ['shellies/shellyht-3/sensor/temperature', '21.5'],
      ['shellies/shellyht-3/sensor/humidity', '55'],
      ['shellies/shellyht-3/sensor/battery', '90'],
      ['shellies/shellyht-3/online', 'true'],
      ['shellies/shellyht-3/info', { uptime: 100, ram_free: 2000 }],
    ],
    matches: [
      'shellies/{device}/emeter/{channel}/power',
      'shellies/{device}/emeter/{channel}/total',
      'shellies/{device}/emeter/{channel}/voltage',
      'shellies/{device}/relay/{channel}/energy',
      'shellies/{device}/relay/{channel}/power',
      'shellies/{device}/sensor/battery',
      'shellies/{device}/sensor/humidity',
      'shellies/{device}/sensor/temperature',
      'shellies/{device}/temperature',
    ],
    streams: {
      'shellyplug-s-1/relay/0/power': 'W mean 0.. 5m/1d',
      'shellyplug-s-1/relay/0/energy': 'Wmin delta 5m/1d',
      'shellyplug-s-1/temperature': '°C mean -60..150 5m/1d',
      'shellyem-2/emeter/0/power': 'W mean 5m/1d',
      'shellyem-2/emeter/0/total': 'Wh delta 5m/1d',
      'shellyem-2/emeter/0/voltage': 'V mean 0..1500 5m/1d',
      'shellyht-3/temperature': '°C mean -60..150 5m/1d',
      'shellyht-3/humidity': '% mean 0..100 5m/1d',
      'shellyht-3/battery': '% mean 0..100 5m/1d',
    },
  },
  'Shelly, second generation': {
    messages: (at) => [
      [
        'shellyplus1pm-a/status/switch:0',
        {
          id: 0,
          source: 'init',
          output: true,
          apower: 12.5,
          voltage: 230.1,
          freq: 50,
          current: 0.06,
          pf: 0.9,
          aenergy: { total: 100 + at, by_minute: [1, 2, 3], minute_ts: 1_796_000_000 },
          temperature: { tC: 41.2, tF: 106.2 },
        },
      ],
      [
        'shellyplus1pm-a/events/rpc',
        {
          src: 'a',
          method: 'NotifyStatus',
          params: { ts: 1_796_000_000.5, 'switch:0': { id: 0, apower: 12.5 } },
        },
      ],
      ['shellyplus1pm-a/status/sys', { mac: 'A', uptime: 1000, ram_free: 1 }],
      ['shellyplus1pm-a/status/wifi', { rssi: -60 }],
      ['shellyplus1pm-a/online', 'true'],
      [
        'shellypro3em-b/status/em:0',
        {
          id: 0,
          a_current: 1,
          a_voltage: 230,
          a_act_power: -100 * at,
          a_pf: -0.9,
          n_current: null,
          total_act_power: -200,
        },
      ],
      [
        'shellypro3em-b/status/emdata:0',
        { id: 0, a_total_act_energy: 1000 + at, total_act: 3000 + at, total_act_ret: 10 },
      ],
      ['home/ht/status/temperature:0', { id: 0, tC: 21.5, tF: 70.7 }],
      ['home/ht/status/humidity:0', { id: 0, rh: 44 }],
      [
        'home/ht/status/devicepower:0',
        { id: 0, battery: { V: 5.9, percent: 90 }, external: { present: false } },
      ],
      [
        'only-rpc/events/rpc',
        {
          src: 'only-rpc',
          method: 'NotifyStatus',
          params: {
            ts: 1_796_000_000.5,
            'switch:0': { id: 0, apower: 12.5, aenergy: { total: 100, minute_ts: 3 } },
          },
        },
      ],
    ],
    matches: [
      'home/{device}/status/devicepower:0',
      'home/{device}/status/humidity:0',
      'home/{device}/status/temperature:0',
      '{device}/events/rpc',
      '{device}/status/em:0',
      '{device}/status/emdata:0',
      '{device}/status/switch:0',
    ],
    streams: {
      'shellyplus1pm-a/switch:0/apower': 'W mean 0.. 5m/1d',
      'shellyplus1pm-a/switch:0/voltage': 'V mean 0..1500 5m/1d',
      'shellyplus1pm-a/switch:0/freq': 'Hz mean 0..1000 5m/1d',
      'shellyplus1pm-a/switch:0/current': 'A mean 0.. 5m/1d',
      'shellyplus1pm-a/switch:0/pf': '- mean -1..1 5m/1d',
      'shellyplus1pm-a/switch:0/aenergy.total': 'Wh delta 5m/1d',
      'shellyplus1pm-a/switch:0/temperature.tC': '°C mean -60..150 5m/1d',
      'shellypro3em-b/em:0/a_current': 'A mean 0.. 5m/1d',
      'shellypro3em-b/em:0/a_voltage': 'V mean 0..1500 5m/1d',
      'shellypro3em-b/em:0/a_act_power': 'W mean 5m/1d',
      'shellypro3em-b/em:0/a_pf': '- mean -1..1 5m/1d',
      'shellypro3em-b/em:0/total_act_power': 'W mean 5m/1d',
      'shellypro3em-b/emdata:0/a_total_act_energy': 'Wh delta 5m/1d',
      'shellypro3em-b/emdata:0/total_act': 'Wh delta 5m/1d',
      'shellypro3em-b/emdata:0/total_act_ret': 'Wh delta 5m/1d',
      'ht/temperature:0/tC': '°C mean -60..150 5m/1d',
      'ht/humidity:0/rh': '% mean 0..100 5m/1d',
      'ht/devicepower:0/battery.V': 'V mean 0..60 5m/1d',
      'ht/devicepower:0/battery.percent': '% mean 0..100 5m/1d',
      'only-rpc/switch:0/apower': 'W mean 0.. 5m/1d',
      'only-rpc/switch:0/aenergy.total': 'Wh delta 5m/1d',
    },
  },
  ESPHome: {
    messages: (at) => [
      ['kitchen/sensor/temperature/state', '21.5'],
      ['bath/sensor/temperature/state', '23'],
      ['kitchen/sensor/uptime/state', '12345'],
      ['kitchen/sensor/wifi_signal/state', '-60'],
      ['kitchen/binary_sensor/motion/state', 'ON'],
      ['kitchen/status', 'online'],
      ['bath/sensor/co2_value/state', '700'],
      ['kitchen/sensor/total_energy/state', String(10 + at)],
      // What the name does not say, the announcement for Home Assistant does.
      ['kitchen/sensor/gap/state', '12'],
      [
        'homeassistant/sensor/kitchen/gap/config',
        { unit_of_meas: 'cm', stat_t: 'kitchen/sensor/gap/state', stat_cla: 'measurement' },
        true,
      ],
      ['esp/shed/sensor/humidity/state', '40'],
    ],
    matches: [
      'esp/{device}/sensor/humidity/state',
      '{device}/sensor/co2_value/state',
      '{device}/sensor/gap/state',
      '{device}/sensor/temperature/state',
      '{device}/sensor/total_energy/state',
    ],
    streams: {
      'kitchen/temperature': '°C mean -60..150 5m/1d',
      'bath/temperature': '°C mean -60..150 5m/1d',
      'bath/co2_value': 'ppm mean 0..50000 5m/1d',
      'kitchen/total_energy': 'kWh delta 5m/1d',
      'kitchen/gap': 'cm mean 5m/1d',
      'shed/humidity': '% mean 0..100 5m/1d',
    },
  },
  'DSMR / P1': {
    messages: (at) => [
      ['dsmr/reading/electricity_delivered_1', String(1234.5 + at / 1000)],
      ['dsmr/reading/electricity_currently_delivered', '0.523'],
      ['dsmr/reading/phase_voltage_l1', '231'],
      ['dsmr/reading/timestamp', iso(at, TEN_SECONDS)],
      ['dsmr/reading/extra_device_delivered', '100.123'],
      ['dsmr/meter-stats/electricity_tariff', '1'],
      ['dsmr/day-consumption/electricity1', '1.2'],
      [
        'p1/json',
        {
          // 02 of December 2026 in the winter of the Netherlands, as the meter writes it.
          timestamp: `${new Date(START_MS + at * TEN_SECONDS + 3_600_000).toISOString().replaceAll(/\D/g, '').slice(2, 14)}W`,
          electricity_delivered_1: 1234.5 + at,
          electricity_currently_delivered: 0.5,
          electricity_currently_returned: 0,
          gas_delivered: 100.2,
          electricity_tariff: '0002',
          power_failures: 3,
        },
      ],
      ['sensors/power/p1meter/consumption_low_tarif', String(2_209_397 + at)],
      ['sensors/power/p1meter/actual_consumption', '313'],
      ['sensors/power/p1meter/actual_tarif_group', '2'],
    ],
    matches: [
      'dsmr/reading/electricity_currently_delivered',
      'dsmr/reading/electricity_delivered_1',
      'dsmr/reading/extra_device_delivered',
      'dsmr/reading/phase_voltage_l1',
      'p1/json',
      'p1/json',
      'sensors/power/p1meter/actual_consumption',
      'sensors/power/p1meter/consumption_low_tarif',
    ],
    streams: {
      'dsmr/reading/electricity_delivered_1': 'kWh delta 5m/1d',
      'dsmr/reading/electricity_currently_delivered': 'kW mean 0.. 5m/1d',
      'dsmr/reading/phase_voltage_l1': 'V mean 0..1500 5m/1d',
      'dsmr/reading/extra_device_delivered': 'm³ delta 1h/1d',
      'p1/json/electricity_delivered_1': 'kWh delta 5m/1d',
      'p1/json/electricity_currently_delivered': 'kW mean 0.. 5m/1d',
      'p1/json/electricity_currently_returned': 'kW mean 0.. 5m/1d',
      'p1/json/gas_delivered': 'm³ delta 1h/1d',
      'sensors/power/p1meter/consumption_low_tarif': 'Wh delta 5m/1d',
      'sensors/power/p1meter/actual_consumption': 'W mean 0.. 5m/1d',
    },
  },
  Victron: {
    messages: (at) => [
      ['N/c0619ab1/battery/512/Soc', { value: 80.1 }],
      ['N/c0619ab1/battery/512/Dc/0/Voltage', { value: 52.1 }],
      ['N/c0619ab1/battery/512/Dc/0/Power', { value: -300 + at }],
      ['N/c0619ab1/system/0/Ac/Consumption/L1/Power', { value: 500 }],
      ['N/c0619ab1/system/0/Serial', { value: 'c0619ab1' }],
      ['N/c0619ab1/solarcharger/289/Yield/Power', { value: 1200, min: 0, max: 3000 }],
      ['N/c0619ab1/solarcharger/289/Yield/System', { value: 100 + at }],
      ['N/c0619ab1/solarcharger/289/History/Daily/0/Yield', { value: 3 }],
      ['N/c0619ab1/solarcharger/289/State', { value: 3 }],
      ['N/c0619ab1/settings/0/Settings/X', { value: 3 }],
      ['N/c0619ab1/heartbeat', { value: 1_796_000_000 }],
      ['N/c0619ab1/tank/20/Level', { value: 55 }],
    ],
    matches: [
      'N/{portal}/battery/{instance}/Dc/0/Power',
      'N/{portal}/battery/{instance}/Dc/0/Voltage',
      'N/{portal}/battery/{instance}/Soc',
      'N/{portal}/solarcharger/{instance}/Yield/Power',
      'N/{portal}/solarcharger/{instance}/Yield/System',
      'N/{portal}/system/{instance}/Ac/Consumption/L1/Power',
      'N/{portal}/tank/{instance}/Level',
    ],
    streams: {
      'c0619ab1/battery/512/Soc': '% mean 0..100 5m/1d',
      'c0619ab1/battery/512/Dc/0/Voltage': 'V mean 0..1500 5m/1d',
      'c0619ab1/battery/512/Dc/0/Power': 'W mean 5m/1d',
      'c0619ab1/system/0/Ac/Consumption/L1/Power': 'W mean 5m/1d',
      'c0619ab1/solarcharger/289/Yield/Power': 'W mean 0.. 5m/1d',
      'c0619ab1/solarcharger/289/Yield/System': 'kWh delta 5m/1d',
      'c0619ab1/tank/20/Level': '% mean 0..100 5m/1d',
    },
  },
  rtl_433: {
    messages: (at) => [
      ...[1, 2, 3].map(
        (): Heard => [
          'rtl_433/pi/events',
          {
            time: local(at, TEN_SECONDS),
            model: 'Prologue-TH',
            subtype: 5,
            id: 5,
            channel: 1,
            battery_ok: 1,
            temperature_C: 15.1,
            humidity: 63,
            button: 0,
            mic: 'CHECKSUM',
          },
        ],
      ),
      [
        'rtl_433/pi/events',
        {
          time: local(at, TEN_SECONDS),
          model: 'Prologue-TH',
          id: 7,
          channel: 3,
          battery_ok: 1,
          temperature_C: -3,
        },
      ],
      [
        'rtl_433/pi/events',
        {
          time: local(at, TEN_SECONDS),
          model: 'Fineoffset-WH24',
          id: 200,
          battery_ok: 1,
          temperature_C: 8,
          wind_dir_deg: (at * 90) % 360,
          wind_avg_m_s: 1.2,
          rain_mm: 100 + at,
          light_lux: 300,
          rssi: -1,
          snr: 10,
          noise: -20,
        },
      ],
      ['rtl_433/pi/devices/Prologue-TH/1/5/temperature_C', '15.1'],
    ],
    matches: ['rtl_433/{host}/events'],
    streams: {
      'Prologue-TH-5-1/temperature_C': '°C mean -60..150 5m/1d',
      'Prologue-TH-5-1/humidity': '% mean 0..100 5m/1d',
      'Prologue-TH-7-3/temperature_C': '°C mean -60..150 5m/1d',
      'Fineoffset-WH24-200/temperature_C': '°C mean -60..150 5m/1d',
      'Fineoffset-WH24-200/wind_dir_deg': '° circular-mean 5m/1d',
      'Fineoffset-WH24-200/wind_avg_m_s': 'm/s mean 0..120 5m/1d',
      'Fineoffset-WH24-200/rain_mm': 'mm delta 5m/1d',
      'Fineoffset-WH24-200/light_lux': 'lx mean 0..200000 5m/1d',
    },
  },
  OpenMQTTGateway: {
    messages: () => [
      [
        'home/OpenMQTTGateway/BTtoMQTT/A4C138000001',
        {
          id: 'A4:C1:38:00:00:01',
          name: 'LYWSD03MMC',
          rssi: -70,
          brand: 'Xiaomi',
          model: 'TH',
          type: 'THB',
          tempc: 21.3,
          tempf: 70.3,
          hum: 45,
          batt: 80,
          volt: 2.9,
        },
      ],
      // Another gateway hears the same sensor: one stream.
      [
        'home/OMG_ESP32/BTtoMQTT/A4C138000001',
        { id: 'A4:C1:38:00:00:01', rssi: -80, tempc: 21.3, tempf: 70.3 },
      ],
      [
        'home/OpenMQTTGateway/BTtoMQTT/A4C138000002',
        { id: 'A4:C1:38:00:00:02', tempc: 4.3, tempf: 39.3, hum: 95 },
      ],
      ['home/OpenMQTTGateway/SYStoMQTT', { uptime: 100, freemem: 10_000, rssi: -50 }],
      ['home/OpenMQTTGateway/LWT', 'online'],
      [
        'home/OpenMQTTGateway/RTL_433toMQTT/Prologue-TH/1/5',
        {
          model: 'Prologue-TH',
          id: 5,
          channel: 1,
          temperature_C: 15.1,
          humidity: 63,
          rssi: -80,
          duration: 100,
        },
      ],
    ],
    matches: ['home/{gateway}/BTtoMQTT/{device}', 'home/{gateway}/RTL_433toMQTT/#'],
    streams: {
      'A4C138000001/tempc': '°C mean -60..150 5m/1d',
      'A4C138000001/hum': '% mean 0..100 5m/1d',
      'A4C138000001/batt': '% mean 0..100 5m/1d',
      'A4C138000001/volt': 'V mean 0..100 5m/1d',
      'A4C138000002/tempc': '°C mean -60..150 5m/1d',
      'A4C138000002/hum': '% mean 0..100 5m/1d',
      'Prologue-TH-5-1/temperature_C': '°C mean -60..150 5m/1d',
      'Prologue-TH-5-1/humidity': '% mean 0..100 5m/1d',
    },
  },
  ChirpStack: {
    everyMs: TEN_MINUTES,
    messages: (at) => [
      [
        'application/1234/device/70b3d50000000001/event/up',
        {
          deduplicationId: `x${at}`,
          time: iso(at, TEN_MINUTES),
          deviceInfo: { deviceName: 'soil', devEui: '70b3d50000000001' },
          devAddr: '0103',
          adr: true,
          dr: 1,
          fCnt: at,
          fPort: 1,
          data: 'AA==',
          object: { temperature: 21.5, soil_moisture: 33, battery_v: 3.1 },
          rxInfo: [{ gatewayId: 'g', rssi: -48, snr: 9 }],
          txInfo: { frequency: 868_100_000 },
        },
      ],
      ['application/1234/device/70b3d50000000001/event/status', { batteryLevel: 75.5, margin: 7 }],
      ['application/1234/device/70b3d50000000001/event/join', { time: iso(at, TEN_MINUTES) }],
      ['eu868/gateway/g/event/stats', { rxPacketsReceived: 3 }],
    ],
    matches: [
      'application/{application}/device/{eui}/event/status',
      'application/{application}/device/{eui}/event/up',
    ],
    streams: {
      '70b3d50000000001/temperature': '°C mean -60..150 10m/1d',
      '70b3d50000000001/soil_moisture': '% mean 0..100 10m/1d',
      '70b3d50000000001/battery_v': 'V mean 0..100 10m/1d',
      '70b3d50000000001/batteryLevel': '% mean 0..100 10m/1d',
    },
  },
  'The Things Stack': {
    everyMs: TEN_MINUTES,
    messages: (at) => [
      [
        'v3/app@ttn/devices/soil-1/up',
        {
          end_device_ids: { device_id: 'soil-1' },
          received_at: iso(at, TEN_MINUTES),
          uplink_message: {
            f_port: 1,
            f_cnt: at,
            frm_payload: 'AA==',
            decoded_payload: { temperature: 21.5, level_cm: 33 },
            rx_metadata: [{ rssi: -35, snr: 5 }],
            settings: { frequency: '868300000' },
          },
        },
      ],
      ['v3/app@ttn/devices/soil-1/join', { received_at: iso(at, TEN_MINUTES) }],
    ],
    matches: ['v3/{application}/devices/{device}/up'],
    streams: {
      'soil-1/temperature': '°C mean -60..150 10m/1d',
      'soil-1/level_cm': 'cm mean 10m/1d',
    },
  },
  'Sparkplug B': {
    messages: (at) => [
      [
        'spBv1.0/g/NBIRTH/n',
        sparkplug(
          [
            { name: 'Motor/Power', type: 10, double: 5, unit: 'kW' },
            { name: 'Node Info/Uptime', type: 10, double: 5 },
            { name: 'Tank/Level', type: 10, double: 55, unit: '%' },
            { name: 'Meter/Energy', type: 10, double: 100 + at, unit: 'kWh' },
          ],
          at,
        ),
      ],
    ],
    matches: ['spBv1.0/{group}/+/{node}/#'],
    streams: {
      'g/n/Motor/Power': 'kW mean 0.. 5m/1d',
      'g/n/Tank/Level': '% mean 0..100 5m/1d',
      'g/n/Meter/Energy': 'kWh delta 5m/1d',
    },
  },
  'Home Assistant statestream': {
    messages: () => [
      ['homeassistant/sensor/outdoor_temperature/state', '8.1', true],
      ['homeassistant/sensor/outdoor_temperature/unit_of_measurement', '"°C"', true],
      ['homeassistant/sensor/outdoor_temperature/last_changed', '"2026-11-29T10:00:00+00:00"', true],
      ['homeassistant/sensor/wohnzimmer/state', '44'],
      ['homeassistant/sensor/wohnzimmer/unit_of_measurement', '"%"'],
      ['homeassistant/sensor/meter/state', '100.1'],
      ['homeassistant/sensor/meter/unit_of_measurement', '"kWh"'],
      ['homeassistant/sensor/meter/state_class', '"total_increasing"'],
      ['homeassistant/sensor/router_uptime/state', '100.1'],
      ['homeassistant/light/x/state', 'on'],
      ['homeassistant/sensor/washer/state', 'idle'],
      ['homeassistant/sun/sun/state', 'above_horizon'],
      ['homeassistant/sun/sun/elevation', '12.3'],
    ],
    matches: [
      'homeassistant/sensor/meter/state',
      'homeassistant/sensor/outdoor_temperature/state',
      'homeassistant/sensor/wohnzimmer/state',
    ],
    streams: {
      outdoor_temperature: '°C mean -60..150 5m/1d',
      wohnzimmer: '% mean 0..100 5m/1d',
      meter: 'kWh delta 5m/1d',
    },
  },
};

describe('a device family', () => {
  for (const [name, { messages, everyMs, matches, streams }] of Object.entries(CASES))
    it(name, () => {
      const found = suggested(messages, everyMs);
      expect(found.streams).toEqual(streams);
      expect(found.config.streams.map(({ match }) => match).sort()).toEqual([...matches].sort());
      expect(found.rejects).toEqual([]);
    });

  it('is told apart from the others on one broker', () => {
    const together = suggested((at) => Object.values(CASES).flatMap(({ messages }) => messages(at)));
    const wanted = Object.entries(CASES).flatMap(([family, { streams }]) =>
      // The radio gateway hears one of these sensors as well.
      Object.keys(streams).map((stream) => (family === 'rtl_433' ? `rtl_433/${stream}` : stream)),
    );
    expect(Object.keys(together.streams).sort()).toEqual(wanted.sort());
    expect(together.rejects).toEqual([]);
  });
});
