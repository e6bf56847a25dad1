#!/usr/bin/perl

# The directive chatmaid_redis: what nginx -t refuses, and how each part of a URL
# is used, by real servers with passwords, users, databases and certificates.

use lib 't/lib';
use Chatmaid::Test::Redis;

debug_logs;

my $password = secret('correct-horse-battery');
my $odd      = secret("horse \tb\xc3\xa4tt\xc3\xa9ry \"staple\"");    # behind a blank
my $wrong    = secret('wrong-horse-battery-st');
my %files    = (password => "$password\n", empty => '', wrong => "$wrong\n", two => "a\nb\n",
    big => 'x' x 5000, odd => " $odd \t\r\n", mark => "\xef\xbb\xbf$password", nul => "$password\0");


# --- What nginx -t says ---

my @refused = (
    ['redis://:hidden@127.0.0.1',              qr/must not have a password in the URL/],
    ['redis://user:hidden@127.0.0.1',          qr/must not have a password in the URL/],
    ['redis://:hid/den@127.0.0.1',             qr/must not have a password in the URL/],
    ['redis://hid/den@127.0.0.1',              qr/must not have a password in the URL/],
    ['redis://user:hidden@127.0.0.1 timeout=x', qr/must not have a password in the URL/],
    ['http://hidden:hidden@127.0.0.1',         qr{needs "redis://", "rediss://", .* or "unix:"}],
    ['127.0.0.1:6379',                         qr{needs "redis://", "rediss://", .* or "unix:"}],
    ['REDIS://127.0.0.1',                      qr{needs "redis://", "rediss://", .* or "unix:"}],
    ['redis://',                               qr/no host in ""/],
    ['redis:///1',                             qr/no host in ""/],
    ['redis://user@127.0.0.1',                 qr/has a user, but no "password_file="/],
    ['redis://@127.0.0.1',                     qr/has an empty user/],
    ['redis://127.0.0.1:0',                    qr/invalid port in "127\.0\.0\.1:0"/],
    ['redis://127.0.0.1:65536',                qr/invalid port/],
    ['redis://127.0.0.1:x',                    qr/invalid port/],
    ['redis://127.0.0.1/x',                    qr/invalid database/],
    ['redis://127.0.0.1/-1',                   qr/invalid database/],
    ['redis://127.0.0.1/1/2',                  qr/invalid database/],
    ['redis://127.0.0.1/99999999999999',       qr/invalid database/],
    ['redis://127.0.0.1?db=1',                 qr/takes no "\?" or "#"/],
    ['redis+sentinel://127.0.0.1',             qr/needs the name of the master behind the Sentinels/],
    ['redis+sentinel://127.0.0.1/',            qr/needs the name of the master behind the Sentinels/],
    ['redis+sentinel:///mymaster',             qr/no host in ""/],
    ['redis+sentinel://127.0.0.1,/mymaster',   qr/an empty host among those of its URL/],
    ['redis+sentinel://,127.0.0.1/mymaster',   qr/an empty host among those of its URL/],
    ['redis+sentinel://127.0.0.1,127.0.0.2:x/mymaster', qr/invalid port in "127\.0\.0\.2:x"/],
    ['redis+sentinel://127.0.0.1,nosuchhost.invalid/mymaster', qr/host not found in "nosuchhost\.invalid"/],
    ['redis+sentinel://127.0.0.1/my%20master', qr/an invalid name of the master/],
    ['redis+sentinel://127.0.0.1/mymaster/x',  qr/invalid database/],
    ['redis+sentinel://127.0.0.1/mymaster/1/2', qr/invalid database/],
    ['redis+sentinel://user:hidden@127.0.0.1/mymaster', qr/must not have a password in the URL/],
    ['redis+sentinel://user@127.0.0.1/mymaster', qr/has a user, but no "password_file="/],
    ['redis+sentinel://127.0.0.1/mymaster sentinel_user=x', qr/has a "sentinel_user=", but no "sentinel_password_file="/],
    ['redis+sentinel://127.0.0.1/mymaster sentinel_user= sentinel_password_file=%DIR%/password', qr/an empty "sentinel_user="/],
    ['redis+sentinel://127.0.0.1/mymaster sentinel_password_file=', qr/an empty "sentinel_password_file="/],
    ['redis+sentinel://127.0.0.1/mymaster sentinel_password_file=%DIR%/empty', qr/is empty/],
    ['redis+sentinel://127.0.0.1/mymaster sentinel_password=hidden', qr/invalid parameter "sentinel_password"/],
    ['redis+sentinel://127.0.0.1/mymaster verify=off', qr{parameters for TLS without "rediss://"}],
    ['redis://127.0.0.1 sentinel_password_file=%DIR%/password', qr{parameters for Sentinels without "redis\+sentinel://"}],
    ['unix:/tmp/x sentinel_user=x',            qr{parameters for Sentinels without "redis\+sentinel://"}],
    ['redis://127.0.0.1,127.0.0.2',            qr{has several hosts in the URL, as only "redis\+sentinel://" and "redis\+cluster://" may}],
    ['redis+cluster://',                       qr/no host in ""/],
    ['redis+cluster:///0',                     qr/no host in ""/],
    ['redis+cluster://127.0.0.1,',             qr/has an empty host among those/],
    ['redis+cluster://127.0.0.1,,127.0.0.2',   qr/has an empty host among those/],
    ['redis+cluster://127.0.0.1:',             qr/invalid port in "127\.0\.0\.1:"/],
    ['redis+cluster://127.0.0.1,127.0.0.2:0',  qr/invalid port in "127\.0\.0\.2:0"/],
    ['redis+cluster://127.0.0.1/1',            qr/has a database in the URL, but a Redis Cluster has 0 alone/],
    ['redis+cluster://127.0.0.1/x',            qr/invalid database/],
    ['redis+cluster://127.0.0.1?x',            qr/takes no "\?" or "#"/],
    ['redis+cluster://u:hidden@127.0.0.1,127.0.0.2', qr/must not have a password in the URL/],
    ['redis+cluster://127.0.0.1,u:hidden@127.0.0.2', qr/must not have a password in the URL/],
    ['redis+cluster://user@127.0.0.1',         qr/has a user, but no "password_file="/],
    ['redis+cluster://127.0.0.1 verify=off',   qr{parameters for TLS without "rediss://"}],
    ['rediss+cluster://127.0.0.1 sentinel_user=x', qr{parameters for Sentinels without "redis\+sentinel://"}],
    ['redis+cluster://127.0.0.1 "prefix=a{b"',   qr/has a brace in its prefix/],
    ['redis+cluster://127.0.0.1 "prefix=a}b"',   qr/has a brace in its prefix/],
    ['redis+clusters://127.0.0.1',             qr{needs "redis://", "rediss://"}],
    ['redis://nosuchhost.invalid',             qr/host not found in "nosuchhost\.invalid"/],
    ['unix:relative',                          qr/needs an absolute path/],
    ['unix:',                                  qr/needs "redis:/],
    ['unix://tmp/x',                           qr/needs an absolute path/],
    ['unix:/tmp/x:',                           qr/invalid database/],
    ['unix:/tmp/x:y',                          qr/invalid database/],
    ['unix:/' . 'x' x 200,                     qr/too long path/],
    ['redis://127.0.0.1 hidden',               qr/takes parameters of the form "name=value"/],
    ['redis://127.0.0.1 nonsense=hidden',      qr/invalid parameter "nonsense"/],
    ['redis://127.0.0.1 password_file=hidden', qr/open\(\) of a path below "\S+\/" failed/],
    ['redis://127.0.0.1 password_file=hid/den', qr/open\(\) of a path below "\S+\/" failed/],
    ['redis://127.0.0.1 password=hidden',      qr/invalid parameter "password"/],
    ['redis://127.0.0.1 prefix=a prefix=b',    qr/duplicate parameter "prefix="/],
    ['redis://127.0.0.1 timeout=0',            qr/invalid timeout "0"/],
    ['redis://127.0.0.1 timeout=fast',         qr/invalid timeout "fast"/],
    ['redis://127.0.0.1 timeout=',             qr/invalid timeout ""/],
    ['redis://127.0.0.1 fallback=no',          qr/invalid fallback "no"/],
    ["redis://127.0.0.1 'prefix=a\nb'",        qr/control character/],
    ['redis://127.0.0.1 verify=off',           qr{parameters for TLS without "rediss://"}],
    ['redis://127.0.0.1 ca_file=/x',           qr{parameters for TLS without "rediss://"}],
    ['unix:/tmp/x ca_file=/x',                 qr{parameters for TLS without "rediss://"}],
    ['rediss://127.0.0.1 verify=maybe',        qr/invalid "verify="/],
    ['rediss://127.0.0.1 ca_file=/no/such',    qr{ca_file "/no/such" can't be loaded}],
    ['redis://127.0.0.1 password_file=',       qr/empty "password_file="/],
    ['redis://127.0.0.1 password_file=/no/such', qr{open\(\) "/no/such" failed}],
    ['redis://127.0.0.1 password_file=%DIR%/empty', qr/is empty/],
    ['redis://127.0.0.1 password_file=%DIR%/two',   qr/has more than one line/],
    ['redis://127.0.0.1 password_file=%DIR%/mark',  qr/begins with a byte order mark: save it as UTF-8 without one/],
    ['redis://127.0.0.1 password_file=%DIR%/nul',   qr/holds a NUL/],
    ['redis://127.0.0.1 password_file=%DIR%/big',   qr/is larger than 4096 bytes/],
    ['redis://127.0.0.1 password_file=%DIR%',       qr/is not a regular file/],
    ['redis://127.0.0.1; chatmaid_redis redis://127.0.0.1', qr/is duplicate/],
);

for my $case (@refused) {
    my ($directive, $message) = @$case;
    my ($status, $said) = nginx_t(http => "chatmaid_redis $directive;", files => \%files);
    like($said, qr/\[emerg\] .*"chatmaid_redis".*$message.*nginx\.conf:\d+/, "refused: $directive" =~ s/\n/ /gr =~ s/x{50,}/x.../r);
    unlike($said, qr/hidden|hid\/den/, 'and does not repeat it') if $directive =~ /hidden|hid\/den/;
}

for my $directive ('redis://127.0.0.1', 'redis://localhost/', 'redis://127.0.0.1:1/15', 'redis://[::1]:6379/2',
    'unix:/tmp/x', 'unix:/tmp/x:3', 'unix:/tmp/x,y',
    'redis+cluster://127.0.0.1', 'redis+cluster://127.0.0.1:7000,localhost/0', 'redis://127.0.0.1 "prefix={a}"',
    'rediss+cluster://user@127.0.0.1,[::1]:7001 ca_file=%CA% verify=on prefix=a: password_file=%DIR%/password fallback=reject',
    'redis+sentinel://127.0.0.1/mymaster', 'rediss+sentinel://127.0.0.1:26379,localhost,[::1]:1/my.mas-ter_1/3 verify=off',
    'redis+sentinel://user@127.0.0.1/m password_file=%DIR%/password sentinel_user=u sentinel_password_file=%DIR%/password', 'rediss://127.0.0.1', 'rediss://127.0.0.1 verify=off',
    'redis://us%40er@127.0.0.1 password_file=%DIR%/password timeout=1s prefix= fallback=reject',
    'rediss://127.0.0.1 ca_file=%CA% verify=on fallback=zone prefix=x: timeout=100ms')
{
    my ($status, $said) = nginx_t(http => "chatmaid_redis $directive;", files => \%files);
    is($status, 0, "accepted: $directive") or diag $said;
}

my ($status, $said) = nginx_t(server => 'chatmaid_redis redis://127.0.0.1;');
like($said, qr/"chatmaid_redis" directive is not allowed here/, 'not in a server');


# --- Connections ---

# Long enough for a handshake on a slow machine.
sub patient ($directive) { $directive =~ /timeout=/ ? $directive : "$directive timeout=10s" }

sub works ($directive, $name, %option) {
    my $nginx = probe(patient($directive), files => \%files, name => $name =~ s/\W/-/gr, %option);
    wait_for(\&up, $name);
    is((ask(['ECHO', $name]))[0]{reply}, $name, $name);
    return $nginx;
}

sub fails ($directive, $reason, $name) {
    my $nginx = probe(patient($directive), files => \%files, name => $name =~ s/\W/-/gr);
    wait_for(sub { $nginx->logged(qr/is away: $reason/) }, $name);
    is((ask(['ECHO', $name]))[0]{error}, 'unreachable', $name);
    is(up, 0, 'and is not up');
    $nginx->quit;
}

my $plain = redis_server;
my $nginx = works('redis://localhost:' . $plain->port, 'a name with two addresses');
$nginx = works("unix:${\$plain->socket}", 'a unix socket');
$nginx = works("unix:${\$plain->socket}:4", 'a unix socket and a database');
ask(['SET', 'where', 'four']);
is($plain->cli([SELECT => 4], 'GET', 'where'), 'four', 'that database');
$nginx = works($plain->url . '/7', 'a database');
ask(['SET', 'where', 'seven']);
is($plain->cli([SELECT => 7], 'GET', 'where'), 'seven', 'that one');
fails($plain->url . '/99', qr/it answers to SELECT: "ERR DB index is out of range"/, 'no such database');
fails($plain->url . ' password_file=%DIR%/password', qr/it answers to AUTH: "ERR"/, 'a password that the server has not');

my $closed = redis_server(args => ['--requirepass', $password]);
works($closed->url . ' password_file=%DIR%/password', 'a password');
fails($closed->url, qr/it answers to PING: "NOAUTH Authentication required\."/, 'no password');
fails($closed->url . ' password_file=%DIR%/wrong', qr/it answers to AUTH: "WRONGPASS"/, 'a wrong password');

my $blank = redis_server;
$blank->cli(qw(CONFIG SET requirepass), " $odd");
works($blank->url . ' password_file=%DIR%/odd', 'a password with blanks, quotes and letters of all kinds');

$plain->cli('ACL', 'SETUSER', 'gate@way', 'on', ">$password", 'nocommands', '+echo', '+set', '+role', '~p:*');
$nginx = works($plain->url('gate%40way@') . ' password_file=%DIR%/password', 'a user who may not PING');
my ($denied) = ask(['GET', 'x']);
is($denied->{error}, 'refused', 'NOPERM counts as not answering');
is((ask(['SET', 'p:x', '1']))[0]{error}, 'ok', 'but what is allowed goes on');
is(scalar(() = $nginx->logged(qr/is away: it answers "NOPERM /)), 1, 'one line for it');


# --- TLS ---

my $tls = redis_server(tls => 'good');
(my $url = $tls->url) =~ s/redis:/rediss:/;
my $name = $url =~ s/127\.0\.0\.1/localhost/r;
works("$url ca_file=%CA%", 'TLS to an address in the certificate');
works("$name ca_file=%CA%", 'TLS to a name in the certificate');
fails($url, qr/(?:unable to get local issuer certificate|self.signed certificate)/, 'TLS with the default trust store');
works("$url verify=off", 'TLS without verifying');
$nginx = works("$url ca_file=%CA% timeout=30s", 'TLS with much to write');
my $big = 'x' x 4_000_000;
my @all = ask(map { (['SET', "k$_", $big], ['GET', "k$_"]) } 1 .. 2);
ok($all[3]{reply} eq $big, 'and to read');

for (['wrong', qr/hostname mismatch/, 'a certificate of another name'],
    ['foreign', qr/(?:unable to get local issuer certificate|self.signed)/, 'one of another CA'])
{
    my ($kind, $reason, $what) = @$_;
    my $server = redis_server(tls => $kind);
    (my $url = $server->url) =~ s{redis://127\.0\.0\.1}{rediss://localhost};
    fails("$url ca_file=%CA% password_file=%DIR%/password", $reason, $what);
    works("$url verify=off", "$what, unverified");
}
my $server = redis_server(tls => 'wrong');
(my $address = $server->url) =~ s/redis:/rediss:/;
fails("$address ca_file=%CA%", qr/IP address mismatch/, 'an address that is not in the certificate');
fails($plain->url =~ s/redis:/rediss:/r . ' timeout=250ms', qr/no TLS handshake in time: .*whether this port speaks TLS;/, 'TLS to a server without');
fails($tls->url, qr/it closed the connection|what it sends is no reply/, 'no TLS to a server with it');

done;
