import { describe, expect, it } from 'vitest';
import { quantityOf } from '../../../src/outputs/home-assistant/units.ts';
import { SENSOR_UNITS } from './rules.ts';

describe('quantityOf', () => {
  it.each([
    ['°C', 'temperature', '°C', 'temperature'],
    ['℃', 'x', '°C', 'temperature'],
    ['degC', 'x', '°C', 'temperature'],
    ['Fahrenheit', 'x', '°F', 'temperature'],
    ['%', 'soil_moisture', '%', 'moisture'],
    ['%', 'relativeHumidity', '%', 'humidity'],
    ['%RH', 'hum', '%', 'humidity'],
    ['%', 'battery', '%', 'battery'],
    ['%', 'valve', '%', null],
    ['kwh', 'ENERGY/Total', 'kWh', 'energy'],
    ['mWh', 'x', 'mWh', null],
    ['l/min', 'flow', 'L/min', 'volume_flow_rate'],
    ['l/h', 'flow', 'L/h', null],
    ['m3', 'gas/total', 'm³', 'gas'],
    ['L', 'tank_level', 'L', 'volume_storage'],
    ['L', 'water_tank', 'L', 'volume_storage'],
    ['L', 'water', 'L', 'water'],
    ['L', 'x', 'L', null],
    ['constructor', 'x', 'constructor', null],
    ['hPa', 'pressure', 'hPa', 'atmospheric_pressure'],
    ['bar', 'pressure', 'bar', 'pressure'],
    ['ug/m3', 'pm25', 'µg/m³', 'pm25'],
    ['μg/m³', 'pm2_5', 'µg/m³', 'pm25'],
    ['µg/m³', 'pm10', 'µg/m³', 'pm10'],
    ['ppm', 'co2', 'ppm', 'carbon_dioxide'],
    ['ppm', 'co', 'ppm', 'carbon_monoxide'],
    ['ppm', 'concentration', 'ppm', null],
    ['dB', 'noise', 'dB', 'sound_pressure'],
    ['dBm', 'wifi/RSSI', 'dBm', 'signal_strength'],
    ['km/h', 'wind_gust', 'km/h', 'wind_speed'],
    ['km/h', 'vehicle', 'km/h', 'speed'],
    ['mm', 'rainfall', 'mm', 'precipitation'],
    ['mm', 'gap', 'mm', 'distance'],
    ['ML', 'x', 'ML', null],
    ['€/kWh', 'price', '€/kWh', null],
    ['  ', 'x', null, null],
    [null, 'temperature', null, null],
  ] as const)('%s of %s: %s, %s', (unit, name, own, deviceClass) => {
    const found = quantityOf(unit, name);
    expect([found.unit, found.deviceClass]).toEqual([own, deviceClass]);
    if (deviceClass !== null) expect(SENSOR_UNITS[deviceClass]).toContain(own);
  });

  it('increases have no fixed decimals: those of a bucket may be far smaller than a reading', () => {
    expect(quantityOf('W', 'power').decimals).toBe(1);
    expect(quantityOf('W', 'power', true).decimals).toBeNull();
  });
});
