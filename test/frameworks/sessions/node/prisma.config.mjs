export default { schema: 'schema.prisma', datasource: { url: 'postgresql://is.not.used' } };
